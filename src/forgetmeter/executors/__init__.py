"""Executors, which run cells: one after another in this process."""
