"""Every environment variable of the container: name, default, conversion and meaning, in one frozen value."""

import difflib
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Literal, NamedTuple
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from autopilot.core.cost import CHEAPEST_MISSING, DEAREST_MISSING, MISSING_PRICE
from autopilot.core.fleet import MOST_SERVERS, Lead, parse_lead
from autopilot.core.guardrail import GuardrailRules, Override
from autopilot.core.hold_rules import HoldRules
from autopilot.core.schedule import Event

_OWN_PREFIXES = ("AUTOPILOT_", "GS_INVENTORY_", "MODEL_SERVER_")
_SERVICE_LINK = re.compile(
    r"\w+(_SERVICE_HOST|_SERVICE_PORT(_\w+)?|_PORT_\d+_(TCP|UDP|SCTP)(_PROTO|_PORT|_ADDR)?)=.*"
    r"|\w+_PORT=(tcp|udp|sctp)://.*"
)
"""What Kubernetes puts into every container about a Service of its namespace, as one called `autopilot`."""

MOST_BATCHED = 1_000_000
"""Rows in one request of a batch job: more than its advised size can hold."""


class SettingsError(Exception):
    """An environment variable is unknown or has a bad value. The message names it and says what it takes."""


class _ScheduledEvent(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    start: datetime
    end: datetime
    fleet: str = "*"
    min: Annotated[int, Meta(ge=0, le=MOST_SERVERS)] | None = None
    max: Annotated[int, Meta(ge=0, le=MOST_SERVERS)] | None = None
    add: Annotated[int, Meta(ge=-MOST_SERVERS, le=MOST_SERVERS)] = 0


class Settings(msgspec.Struct, frozen=True, rename=str.upper, kw_only=True):
    """What the environment says. Field names are the variables' names in lower case."""

    autopilot_history: Annotated[
        str, Meta(description="Where fleets' history is kept: `sqlite:///PATH`, `dynamodb://TABLE`, or `off`.")
    ] = "sqlite:////tmp/autopilot/history.sqlite3"
    autopilot_history_mode: Annotated[
        Literal["read-write", "read-only"],
        Meta(description="`read-only` for shadow variants: decide, but write nothing."),
    ] = "read-write"
    autopilot_max_clock_skew: Annotated[
        float,
        Meta(
            description="Seconds that an observation may lie ahead; it may be 20 times as old. 0: no check (replays).",
            ge=0,
        ),
    ] = 30.0
    autopilot_lead_minutes: Annotated[
        str,
        Meta(
            description="Minutes from asking for a server to it being ready: a number or a range, 1 to 60. A request's "
            "`lead_minutes` goes first."
        ),
    ] = "10-15"
    autopilot_missing_price: Annotated[
        float,
        Meta(
            description="What a missing server costs, in idle ones. A request's `missing_price` goes first.",
            ge=CHEAPEST_MISSING,
            le=DEAREST_MISSING,
        ),
    ] = MISSING_PRICE
    autopilot_hold_minutes: Annotated[
        float, Meta(description="The longest outage hold, in minutes; 0 switches it off.", ge=0, le=1440)
    ] = 180.0
    autopilot_session_minutes: Annotated[
        float,
        Meta(
            description="Median length of a game session in minutes: how fast demand can honestly fall.", gt=0, le=1440
        ),
    ] = 20.0
    autopilot_earn: Annotated[
        Literal["on", "off"],
        Meta(
            description="`on`: where the policy has cost more than the calibrated rule for days, the rule serves that "
            "fleet until that turns (judged once a day from its history)."
        ),
    ] = "on"
    autopilot_server_hour: (
        Annotated[float, Meta(description="Price of one server-hour: the scoreboard then says money.", ge=0, le=1e6)]
        | None
    ) = None
    autopilot_stabilization_minutes: Annotated[
        float,
        Meta(description="The highest forecast of the last minutes stands; 0: off (the client does it).", ge=0, le=180),
    ] = 0.0
    autopilot_max_step_up: (
        Annotated[
            float,
            Meta(
                description="Largest growth of one decision, as a share of the size before (0.5: half as much again).",
                gt=0,
                le=1000,
            ),
        ]
        | None
    ) = None
    autopilot_max_step_down: (
        Annotated[
            float, Meta(description="Largest shrinkage of one decision, as a share of the size before.", gt=0, le=1)
        ]
        | None
    ) = None
    autopilot_schedule: Annotated[
        str,
        Meta(description="JSON list of events: `fleet` pattern, `start`, `end` (RFC 3339), and `min`, `max` or `add`."),
    ] = "[]"
    autopilot_model_dir: Annotated[
        str, Meta(description="Model directory or model.tar.gz. Where it holds nothing, the built-in policy decides.")
    ] = "/opt/ml/model"
    autopilot_candidate: Annotated[
        str,
        Meta(
            description="Model directory or model.tar.gz of a candidate: it decides beside what serves, for the "
            "scoreboard alone. Empty, or not there: none."
        ),
    ] = ""
    autopilot_ml_root: Annotated[
        str, Meta(description="Where `train` finds and leaves the files of a training job.")
    ] = "/opt/ml"
    autopilot_max_instances: Annotated[
        int, Meta(description="Most fleets or lines in one request; in batch its bytes alone count.", ge=1, le=100_000)
    ] = 25_000
    autopilot_history_cache_mb: Annotated[
        int,
        Meta(description="Memory of a worker for earlier days, at most, in MB; a fleet takes 8 KB.", ge=1, le=4096),
    ] = 112
    autopilot_log_level: Annotated[
        Literal["DEBUG", "INFO", "WARNING", "ERROR"], Meta(description="How much the log tells.")
    ] = "INFO"
    autopilot_metrics_emf: Annotated[
        str,
        Meta(
            description="CloudWatch namespace of metric lines (EMF) in the log, such as `autopilot`. Empty: none.",
            pattern=r"^[A-Za-z0-9_.#/:-]{0,255}$",
        ),
    ] = ""
    autopilot_metrics_fleet_dimension: Annotated[
        bool,
        Meta(
            description="Metric lines carry the fleet as a dimension: six metrics, $1.80 a month, a fleet; at most 300."
        ),
    ] = False
    gs_inventory_url: Annotated[
        str,
        Meta(description="URL that returns demand as JSON; `{fleet}` in it is replaced. Empty: callers send demand."),
    ] = ""
    gs_inventory_field: Annotated[str, Meta(description="Dotted path of the number in that JSON.")] = (
        "Prediction.num_of_gameservers"
    )
    gs_inventory_timeout: Annotated[float, Meta(description="Seconds to wait for the demand source.", gt=0, le=30)] = (
        2.0
    )
    model_server_workers: (
        Annotated[
            int, Meta(description="Worker processes. Default: one per CPU, as far as memory allows.", ge=1, le=256)
        ]
        | None
    ) = None
    model_server_threads: Annotated[
        int, Meta(description="Threads of each worker for requests that may take long.", ge=1, le=128)
    ] = 8
    model_server_timeout: Annotated[
        int,
        Meta(
            description="Seconds until a request is given up (504, five seconds later) and a stuck worker is replaced.",
            ge=1,
            le=3600,
        ),
    ] = 60
    sagemaker_bind_to_port: Annotated[int, Meta(description="Port to listen on.", ge=1, le=65535)] = 8080
    sagemaker_batch: Annotated[
        bool, Meta(description="Set by Batch Transform: rows are the history of later rows, and nothing is written.")
    ] = False
    sagemaker_default_invocations_accept: Annotated[
        str, Meta(description="Answer format where the caller accepts anything.")
    ] = "application/json"

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> "Settings":
        """Read and check every variable. Raises SettingsError naming the variable and the remedy."""
        known = set(cls.__struct_encode_fields__)
        for name, value in environ.items():
            if name.startswith(_OWN_PREFIXES) and name not in known and not _SERVICE_LINK.fullmatch(f"{name}={value}"):
                raise SettingsError(f"{name} is not a setting{_did_you_mean(name, known)}")
        given = {name: environ[name].strip() for name in known if environ.get(name, "").strip()}
        try:
            settings = msgspec.convert(given, cls, strict=False)
        except msgspec.ValidationError as error:
            raise SettingsError(_in_words(str(error))) from error
        except UnicodeEncodeError as error:
            names = ", ".join(name for name, value in given.items() if not _is_utf8(value))
            raise SettingsError(f"{names}: not UTF-8. Write it in ASCII") from error
        settings.history_place()
        settings.events()
        settings.lead()
        if settings.gs_inventory_url and not _is_http(settings.gs_inventory_url):
            raise SettingsError("GS_INVENTORY_URL is no address: say http://HOST/PATH or https://HOST/PATH")
        return settings

    def history_place(self) -> "HistoryPlace":
        """Which store, and where in it. Raises SettingsError."""
        scheme, _, rest = self.autopilot_history.partition("://")
        if self.autopilot_history.lower() == "off":
            return HistoryPlace("off", "")
        if scheme == "sqlite" and rest.startswith("/") and len(rest) > 1:
            return HistoryPlace("sqlite", rest[1:])
        if scheme == "dynamodb" and rest:
            return HistoryPlace("dynamodb", rest)
        raise SettingsError(
            f"AUTOPILOT_HISTORY is {self.autopilot_history!r}: say sqlite:///PATH (four slashes for an absolute path), "
            "dynamodb://TABLE, or off"
        )

    def lead(self) -> Lead:
        """The provisioning lead time. Raises SettingsError."""
        try:
            return parse_lead(self.autopilot_lead_minutes)
        except ValueError as error:
            raise SettingsError(f"AUTOPILOT_LEAD_MINUTES: {error}") from error

    def events(self) -> tuple[Event, ...]:
        """The schedule. Raises SettingsError naming the entry."""
        try:
            listed = msgspec.json.decode(self.autopilot_schedule, type=list[_ScheduledEvent])
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise SettingsError(
                f'AUTOPILOT_SCHEDULE: {error}. Say [{{"fleet": "us-*/shooter", "start": "2026-12-01T17:00:00Z", '
                '"end": "2026-12-02T01:00:00Z", "min": 200}]'
            ) from error
        return tuple(_event(position, one) for position, one in enumerate(listed))

    def guardrail_rules(self) -> GuardrailRules:
        """The guardrail's part of the settings."""
        return GuardrailRules(
            HoldRules(self.autopilot_hold_minutes, self.autopilot_session_minutes),
            self.autopilot_max_step_up,
            self.autopilot_max_step_down,
            self.autopilot_stabilization_minutes,
        )

    @property
    def timeout_seconds(self) -> int:
        """Seconds until a request is given up; the platform waits ten minutes for one of a batch job."""
        return max(self.model_server_timeout, 600) if self.sagemaker_batch else self.model_server_timeout

    @property
    def most_elements(self) -> int:
        """Most fleets or lines in one request."""
        return MOST_BATCHED if self.sagemaker_batch else self.autopilot_max_instances

    @property
    def writes_history(self) -> bool:
        """Whether observations are remembered: not in batch, not in read-only mode."""
        return not self.sagemaker_batch and self.autopilot_history_mode == "read-write"


class HistoryPlace(NamedTuple):
    """A history store: its kind, and the path or table in it."""

    kind: Literal["sqlite", "dynamodb", "off"]
    where: str


def _event(position: int, one: _ScheduledEvent) -> Event:
    where = f"AUTOPILOT_SCHEDULE[{position}]"
    if one.start.tzinfo is None or one.end.tzinfo is None:
        raise SettingsError(f"{where}: start and end need a time zone, as in 2026-12-01T17:00:00Z")
    if one.end <= one.start:
        raise SettingsError(f"{where}: end must lie after start")
    if one.min is not None and one.max is not None and one.min > one.max:
        raise SettingsError(f"{where}: min {one.min} is above max {one.max}")
    if one.min is None and one.max is None and one.add == 0:
        raise SettingsError(f"{where}: say what it changes: min, max or add")
    return Event(one.fleet, one.start.timestamp(), one.end.timestamp(), Override(one.min, one.max, one.add))


def _is_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _did_you_mean(name: str, known: set[str]) -> str:
    close = difflib.get_close_matches(name, known, 1, 0.8)
    return f"; did you mean {close[0]}?" if close else ". The command `settings` lists them"


def _in_words(message: str) -> str:
    reason, _, path = message.partition(" - at `$.")
    return f"{path.rstrip('`') or 'environment'}: {reason}. The command `settings` lists what each variable takes"
