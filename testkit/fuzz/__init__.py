"""Hostile inputs: the parsers that read a stranger's bytes, how inputs are made, and how they are tried."""
