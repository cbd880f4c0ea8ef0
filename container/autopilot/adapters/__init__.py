"""What lies outside: one system per file, each behind a port."""
