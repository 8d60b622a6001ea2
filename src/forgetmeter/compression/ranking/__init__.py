"""Shared by pruning methods: exact ranking of magnitudes, masks of whole units, and pool sizes."""
