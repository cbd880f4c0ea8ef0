"""The autopilot's endpoint: how it is asked, and its wire format."""
