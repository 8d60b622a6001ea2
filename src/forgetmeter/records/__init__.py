"""Records of questions and answers: items, outcomes, variants. Nothing here imports torch."""
