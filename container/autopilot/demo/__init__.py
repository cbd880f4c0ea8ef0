"""`autopilot demo`: a sample day, replayed through a real server."""
