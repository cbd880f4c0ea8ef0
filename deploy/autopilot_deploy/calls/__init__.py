"""How calls are made: through boto3, or whatever stands in for it."""
