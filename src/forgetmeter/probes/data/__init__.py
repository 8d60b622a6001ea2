"""The published data of probes: location, download and checks."""
