"""Sources of the built-in facts: one file per kind of subject, the phrasings, the rules and the exclusions."""
