"""Training of the standards: small reference models whose knowledge is known."""
