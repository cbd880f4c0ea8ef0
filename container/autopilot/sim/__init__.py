"""Simulated fleets: demand, provisioning, and the environments to train in."""
