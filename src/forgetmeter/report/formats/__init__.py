"""Results as text, CSV, JSON, Markdown and LaTeX."""
