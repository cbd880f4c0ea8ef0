"""Where demand comes from: a source that is asked, and files that people have."""
