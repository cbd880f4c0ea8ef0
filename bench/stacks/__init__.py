"""What the serving bench compares with: small stand-ins of our own."""
