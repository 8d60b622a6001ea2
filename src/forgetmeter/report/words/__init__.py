"""Numbers, names and sentences as a reader sees them."""
