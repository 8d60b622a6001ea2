"""A summary for people and programs: terminal, CSV, JSON, Markdown, LaTeX. Nothing here imports torch."""
