"""Bounded exchanges over HTTP, and clients of AWS, for all who talk to services outside the cluster."""
