"""One flow for each command: gather, plan, apply."""
