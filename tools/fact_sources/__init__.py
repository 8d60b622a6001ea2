"""Where the built-in facts come from: one file a kind of subject, the phrasings, the rules and the exclusions."""
