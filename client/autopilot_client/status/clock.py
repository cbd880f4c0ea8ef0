"""Times as the page writes them: UTC."""

from datetime import UTC, datetime


def clock(at: float) -> str:
    """The time of day."""
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M")


def day_clock(at: float) -> str:
    """The day, and the time of day."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M")
