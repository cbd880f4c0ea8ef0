"""The HTTP edge: the server and its workers, the application, the wire format, metrics."""
