"""The published data of probes: where it is, fetching and checking it."""
