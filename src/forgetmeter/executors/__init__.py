"""Running cells: one after another in this process."""
