"""A local page on which one plays with one's own fleet: what it would have cost, and why."""
