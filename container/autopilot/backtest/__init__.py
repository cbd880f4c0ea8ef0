"""A policy scored on recorded demand, beside the rules that it has to beat."""
