"""The forms of a request, one a file. A new one is a file here, and a line in `decoder`."""
