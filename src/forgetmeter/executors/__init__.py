"""Running cells: here, one after another, in this process."""
