"""Where demand comes from: one source a file."""
