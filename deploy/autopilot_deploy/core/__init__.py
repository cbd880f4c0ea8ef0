"""What is decided without AWS: the payload, the plan, the wording. No boto3 client, no clock, no environment."""
