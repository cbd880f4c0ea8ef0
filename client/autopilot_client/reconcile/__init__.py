"""The passes: gather, decide, apply, and what follows."""
