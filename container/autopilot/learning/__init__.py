"""What a fleet's own history teaches: what it cost, what serves it best, and what a better policy may learn from."""
