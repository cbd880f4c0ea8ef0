"""What the client shows: the port with its page, metrics and webhooks, and CloudWatch."""
