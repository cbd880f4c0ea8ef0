"""Where demand comes from, as the document says it: one section a source."""

from typing import Annotated

import msgspec

from autopilot_client.config.base import Seconds, Section, Text, Url, WebService
from autopilot_client.rules.counted import Counting

Selector = Annotated[str, msgspec.Meta(pattern=r"^[^=!,\s()]+=[^=!,\s()]+(,[^=!,\s()]+=[^=!,\s()]+)*$")]
PerServer = Annotated[float, msgspec.Meta(gt=0, le=1e6)]
Queries = Text | Annotated[tuple[Text, ...], msgspec.Meta(min_length=1)]


class CountedDemand(Section, frozen=True):
    """Allocated and reserved servers of an Agones Fleet; or what a Counter or List of Agones counts on them.

    `per_server` is how many of those one server takes; without it, the capacity that the status says it has.
    """

    counter: Text | None = None
    list: Text | None = None
    per_server: PerServer | None = None

    @property
    def counted(self) -> Counting | None:
        """The Counter or List that is counted; None: servers are."""
        if self.counter is None and self.list is None:
            return None
        return Counting(self.counter or "", self.list or "", self.per_server)


class AgonesDemand(CountedDemand, tag_field="source", tag="agones", frozen=True):
    """By the Fleet's own status."""


class ReviewDemand(CountedDemand, tag_field="source", tag="review", frozen=True):
    """By the last FleetAutoscaleReview that Agones sent.

    Each replica of the client receives about every second one: it may take minutes until it is its turn.
    """

    max_age_seconds: Seconds = 300.0


class HttpDemandConfig(WebService, tag_field="source", tag="http", frozen=True, kw_only=True):
    """A matchmaker's JSON. Fields are dotted paths into it.

    Demand and queue are in servers, or in what `per_server` of fit on one.
    """

    url: Url
    field: Text = "demand"
    queue_field: Text | None = None
    sessions_field: Text | None = None
    arrivals_field: Text | None = None
    at_field: Text | None = None
    per_server: PerServer = 1.0
    max_age_seconds: Seconds = 300.0
    timeout_seconds: Seconds = 3.0


class PrometheusDemand(WebService, tag_field="source", tag="prometheus", frozen=True, kw_only=True):
    """Instant queries, each with exactly one result; several for one thing are added up. `per_server` as of `http`."""

    url: Url
    query: Queries
    queue_query: Queries | None = None
    sessions_query: Queries | None = None
    arrivals_query: Queries | None = None
    age_query: Text | None = None
    per_server: PerServer = 1.0
    max_age_seconds: Seconds = 300.0
    timeout_seconds: Seconds = 3.0


class PodsDemand(Section, tag_field="source", tag="pods", frozen=True):
    """Running pods of a selector that are in use: by a label (`key=value`), `ready` or `not-ready`."""

    selector: Selector
    in_use: Text


Demand = AgonesDemand | ReviewDemand | HttpDemandConfig | PrometheusDemand | PodsDemand
