"""Where demand comes from when the caller does not say it: one source a file."""
