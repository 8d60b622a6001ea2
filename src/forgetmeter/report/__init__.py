"""Results for people and programs: the report with its charts, terminal, CSV, JSON, Markdown, LaTeX."""
