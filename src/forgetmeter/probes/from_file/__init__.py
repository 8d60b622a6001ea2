"""Tasks from a user's files: questions with choices, and facts with templates."""
