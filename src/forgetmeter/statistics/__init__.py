"""Statistics of right and wrong answers: paired, clustered, resampled, corrected. Independent of runs."""
