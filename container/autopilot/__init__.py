"""GameServer Autopilot: safe allocations for game-server fleets."""

__version__ = "0.2.0"
