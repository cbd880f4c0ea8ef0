"""How calls reach AWS."""
