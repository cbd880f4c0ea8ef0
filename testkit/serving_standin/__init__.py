"""A small WSGI application in place of the real one, which can be slow to load, slow to answer, or broken."""
