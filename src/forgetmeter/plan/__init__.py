"""Planning the cells of a study. Nothing here imports torch."""
