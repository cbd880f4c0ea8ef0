"""The in-cluster client: reads demand, asks the endpoint, applies the allocation, and never makes an outage worse."""

__version__ = "0.2.0"
