"""Claims about forgetting, each tested on a run: one file per finding."""
