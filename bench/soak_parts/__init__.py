"""The parts of `bench/soak.py`: the world, the faults, the real stack, and the account of what happened."""
