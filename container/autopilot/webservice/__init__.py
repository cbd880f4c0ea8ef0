"""The autoscaling of a simulated web service, the environment of the example that PPO is known from."""
