"""The commands that look at a history store and at model directories."""
