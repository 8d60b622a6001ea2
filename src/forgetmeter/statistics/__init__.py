"""Statistics of right and wrong answers: paired, clustered, resampled, corrected. Knows nothing of runs."""
