"""The stack as values: a CloudFormation template and its state machine, of the same parts as the command line's plans.

`python -m autopilot_deploy stack` writes them into `deploy/stack`. Nothing else may change those files.
"""
