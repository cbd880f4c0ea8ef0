"""The plan for one fleet: a value, made without a cluster."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scale:
    """Change the size from what the cluster says to what was decided."""

    current: int
    wanted: int

    @property
    def removes(self) -> int:
        """How many servers go; 0 when the fleet grows."""
        return max(0, self.current - self.wanted)


@dataclass(frozen=True, slots=True)
class Hold:
    """Change nothing, and why."""

    why: str

    @property
    def removes(self) -> int:
        """No server goes."""
        return 0


def plan(current: int | None, allocation: int | None) -> Scale | Hold:
    """What to do with a fleet of `current` servers that should have `allocation`; None: unknown."""
    if current is None:
        return Hold("size unknown")
    if allocation is None:
        return Hold("nothing decided")
    if allocation == current:
        return Hold("already right")
    return Scale(current, allocation)


def spare_sessions(scale: Scale, idle: int) -> Scale | Hold:
    """The same plan, cut so that at most `idle` servers go."""
    if scale.removes <= idle:
        return scale
    return plan(scale.current, scale.current - max(0, idle))
