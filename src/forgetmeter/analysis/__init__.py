"""From a run's files to statistics: data frames, paired comparisons, summaries. Nothing imports torch."""
