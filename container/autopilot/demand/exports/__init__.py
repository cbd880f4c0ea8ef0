"""Files that monitoring exports, one format a file: pure functions from what is in them to fleets' demand."""
