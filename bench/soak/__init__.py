"""Soak: the world, the faults, the real stack, and the account of what happened. `python -m bench.soak` runs it."""
