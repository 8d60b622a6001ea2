"""Running studies: from a study file to a finished run folder."""
