"""The command line, and the wiring of the running client."""
