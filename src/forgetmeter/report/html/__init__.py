"""A run as one HTML page that needs nothing but itself: no network, no framework."""
