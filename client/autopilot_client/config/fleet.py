"""A fleet, as the document says it: its object, its limits, and what keeps its servers in use."""

from datetime import datetime
from typing import Annotated, Literal

import msgspec

from autopilot_client.config.base import Name, Namespace, Section, Text, Whole
from autopilot_client.config.demand import Demand, HttpDemandConfig, PrometheusDemand
from autopilot_client.rules.domain import Bounds
from autopilot_client.rules.kinds import KINDS, NAME, ObjectPlace, kind_of, target_of
from autopilot_client.rules.lead import Lead, parse_lead
from autopilot_client.rules.schedule import MOST_MINUTES, Event

TARGET = rf"^({'|'.join(KINDS)})/{NAME}$"
KEY = r"^[A-Za-z0-9][A-Za-z0-9._/:@-]*\Z"
LONGEST_KEY = 128
Apply = Literal["observe", "scale", "webhook", "keda"]


class DeletionCost(Section, frozen=True):
    """Mark idle pods before a scale-down, and never remove more than there are idle pods."""

    in_use: Text


class Protect(Section, frozen=True):
    """Tell those who consolidate nodes which pods are in use: `in_use` as of `deletion_cost`."""

    in_use: Text


class Schedule(Section, frozen=True):
    """Events of a fleet: a `cron` line with `time_zone` and `minutes`, or one launch from `start` to `end`."""

    name: Text
    cron: Text | None = None
    time_zone: Text = "UTC"
    minutes: Annotated[float, msgspec.Meta(gt=0, le=MOST_MINUTES)] | None = None
    start: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    end: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    minimum: Whole | None = None
    maximum: Whole | None = None
    add: Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)] = 0

    @property
    def event(self) -> Event:
        """The event, as the rules take it."""
        start, end = (0.0 if at is None else at.timestamp() for at in (self.start, self.end))
        limits = (self.minimum, self.maximum, self.add)
        return Event(self.name, self.cron or "", self.time_zone, self.minutes or 0.0, start, end, *limits)


class Capacity(Section, frozen=True):
    """Room for nodes ahead of pods: a CapacityBuffer or a Deployment of pause pods."""

    buffer: Name | None = None
    pause_deployment: Name | None = None
    node_minutes: Annotated[float, msgspec.Meta(gt=0, le=60)] = 5.0


class RemovalOrder(Section, frozen=True):
    """Never remove a pod that is in use, where the order in which pods go is known: by their ordinals."""

    in_use: Text


class TargetObject(Section, frozen=True, rename={"api_version": "apiVersion"}):
    """Any object with a scale subresource. `resource` is the plural of its kind, where that is not a known one."""

    api_version: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9.-]+/v[a-z0-9]+$")]
    kind: Annotated[str, msgspec.Meta(pattern=r"^[A-Z][A-Za-z0-9]*$")]
    name: Name
    resource: Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9]*$")] | None = None


class Fleet(Section, frozen=True):
    """One fleet. `name` is the key of its history; its target is `deployment/NAME` and the like, or any object.

    `namespace` is where its object is; empty: in the client's own.
    """

    name: Annotated[str, msgspec.Meta(pattern=KEY, max_length=LONGEST_KEY)]
    aims_at: Annotated[str, msgspec.Meta(pattern=TARGET)] | TargetObject = msgspec.field(name="target")
    demand: Demand
    maximum: Whole
    namespace: Namespace = ""
    queue: HttpDemandConfig | PrometheusDemand | None = None
    minimum: Whole = 1
    apply: Apply = "observe"
    stabilization_minutes: Annotated[float, msgspec.Meta(ge=0, le=1440)] = 3.0
    jump_factor: Annotated[float, msgspec.Meta(ge=1)] = 10.0
    jump_free: Whole = 50
    margin: Annotated[float, msgspec.Meta(ge=0, le=10)] = 0.2
    deletion_cost: DeletionCost | None = None
    removal_order: RemovalOrder | None = None
    protect: Protect | None = None
    schedules: tuple[Schedule, ...] = ()
    lead_minutes: float | list[float] | Text | None = None
    capacity: Capacity | None = None
    price_per_server_hour: Annotated[float, msgspec.Meta(ge=0, le=1e6)] | None = None

    @property
    def target(self) -> str:
        """The object, as one text."""
        aim = self.aims_at
        if isinstance(aim, str):
            return aim
        return target_of(aim.api_version, aim.kind, aim.resource or "", aim.name)

    @property
    def place(self) -> ObjectPlace:
        """The namespace and target of its object."""
        return ObjectPlace(self.namespace, self.target)

    @property
    def kind(self) -> str:
        """The word for its kind, such as `deployment`; empty for one that is not known by name."""
        return kind_of(self.target).known

    @property
    def object(self) -> str:
        """The name of the Kubernetes object."""
        return self.target.split("/", 1)[1]

    @property
    def events(self) -> tuple[Event, ...]:
        """Its schedules, as the rules take them."""
        return tuple(schedule.event for schedule in self.schedules)

    @property
    def measures_lead(self) -> bool:
        """Whether its lead time is measured from its own servers."""
        return self.lead_minutes == "measured"

    @property
    def lead(self) -> Lead | None:
        """Minutes from ordering a server to it being ready, where they are given."""
        return None if self.lead_minutes is None or self.measures_lead else parse_lead(self.lead_minutes)

    @property
    def bounds(self) -> Bounds:
        """The limits and margins, as the core takes them."""
        return Bounds(
            self.minimum, self.maximum, self.stabilization_minutes, self.jump_factor, self.jump_free, self.margin
        )
