"""What is remembered of fleets: the cache over one store, and a store a file, each behind the port `History`."""
