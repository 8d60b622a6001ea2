"""The LAMA probe."""
