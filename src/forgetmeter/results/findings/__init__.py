"""Claims about forgetting, each tested on a run: one file a finding."""
