"""Tasks from one's own files: questions with choices, and facts with templates."""
