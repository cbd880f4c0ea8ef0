"""Stand-ins for AWS: an account, the state machine's interpreter, SageMaker's runtime and its batch driver."""
