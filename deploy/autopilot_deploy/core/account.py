"""What the account has, as far as one endpoint is concerned."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from autopilot_deploy.core.call import Json


class Phase(StrEnum):
    """What an endpoint's status means for who waits for it."""

    BUSY = "busy"
    LIVE = "live"
    DEAD = "dead"
    """It serves nothing, and will not by itself."""
    BROKEN = "broken"
    """It may serve, but not as wanted, and will not by itself."""


PHASES: Mapping[str, Phase] = {
    "Creating": Phase.BUSY,
    "Updating": Phase.BUSY,
    "SystemUpdating": Phase.BUSY,
    "RollingBack": Phase.BUSY,
    "Deleting": Phase.BUSY,
    "InService": Phase.LIVE,
    "Failed": Phase.DEAD,
    "OutOfService": Phase.BROKEN,
    "UpdateRollbackFailed": Phase.BROKEN,
}
"""Every status that SageMaker's model names. A new one counts as broken: better a false alarm than an endless wait."""


@dataclass(frozen=True, slots=True)
class EndpointState:
    """DescribeEndpoint, as far as it matters. `counts`: instances wanted of each variant, by name."""

    name: str
    status: str
    config: str
    reason: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)

    @property
    def phase(self) -> Phase:
        """What the status means."""
        return PHASES.get(self.status, Phase.BROKEN)

    @classmethod
    def from_answer(cls, answer: Json) -> "EndpointState":
        """From DescribeEndpoint's answer."""
        variants = answer.get("ProductionVariants", [])
        counts = {one["VariantName"]: one.get("DesiredInstanceCount") for one in variants}
        return cls(
            answer["EndpointName"], answer["EndpointStatus"], answer.get("EndpointConfigName", ""),
            answer.get("FailureReason", ""), {name: count for name, count in counts.items() if count is not None},
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class ScalingTarget:
    """A registered scalable target, with its policies by name."""

    resource: str
    least: int
    most: int
    policies: Mapping[str, Json] = field(default_factory=dict)

    @property
    def variant(self) -> str:
        """The variant's name."""
        return self.resource.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class TableState:
    """The history table. `users`: endpoints that left their tag; `ours`: whether this program made it.

    key         name, kind (HASH, RANGE) and type (S, N, B) of each part of the key
    expires_by  the attribute by which items expire; None: they do not
    """

    status: str
    key: tuple[tuple[str, str, str], ...]
    expires_by: str | None
    recovery: bool
    ours: bool
    users: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RoleState:
    """The execution role, with the names and documents of its inline policies."""

    ours: bool
    policies: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LogGroupState:
    """The endpoint's log group; `days` None: kept for ever."""

    days: int | None
    ours: bool


@dataclass(frozen=True, slots=True)
class AccountState:
    """Everything that was looked up. What does not exist is None, or absent."""

    endpoint: EndpointState | None = None
    endpoint_ours: bool = False
    live_config: Json | None = None
    configs: Mapping[str, Json] = field(default_factory=dict)
    own_configs: tuple[str, ...] = ()
    models: Mapping[str, Json] = field(default_factory=dict)
    own_models: tuple[str, ...] = ()
    targets: Sequence[ScalingTarget] = ()
    role: RoleState | None = None
    table: TableState | None = None
    log_group: LogGroupState | None = None
    alarms: tuple[str, ...] = ()
    dashboard: bool = False
