"""The calls that are made, as values: one AWS service a file."""
