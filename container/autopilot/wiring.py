"""From settings to a service: which adapter stands behind which port."""

from pathlib import Path

from autopilot.core.trained_on import TrainedOn
from autopilot.history.cache import RecentHistory
from autopilot.history.memory import MemoryHistory
from autopilot.history.none import NoHistory
from autopilot.history.read_only import ReadOnlyHistory
from autopilot.history.service_states import MemoryStates
from autopilot.history.slotwise import SlotHistory
from autopilot.policy.calibrated import CalibratedPolicy
from autopilot.policy.learned import BUILT_IN_MODEL, LearnedPolicy, load_policy
from autopilot.policy.model_place import unpacked
from autopilot.ports import DemandSource, History, ModelError, Policy, ReadsMany, ServiceStates
from autopilot.service import Autopilot, DecisionConfig
from autopilot.settings import HistoryPlace, Settings
from autopilot.webservice.advice import ServiceAdvisor

_FLEETS_A_MEGABYTE = 128
"""Of AUTOPILOT_HISTORY_CACHE_MB: what a worker knows of as many fleets as it keeps earlier days of."""
NOT_YET = "current"
"""What `autopilot promote` makes in a directory of models: until then the built-in policy decides."""
PLATFORM_MODEL = Path("/opt/ml/model")
"""Where the platform puts a model, if it has one."""


def build(settings: Settings) -> Autopilot:
    """The service as the settings want it. Raises ModelError."""
    skew = 0.0 if settings.sagemaker_batch else settings.autopilot_max_clock_skew
    operator = DecisionConfig(
        settings.guardrail_rules(), settings.events(), skew, settings.lead(), settings.autopilot_missing_price
    )
    store = build_history(settings)
    recent = RecentHistory(
        store,
        max_bytes=settings.autopilot_history_cache_mb * 1024 * 1024,
        off=isinstance(store, NoHistory),
        pending=(lambda: store.pending) if isinstance(store, SlotHistory) else int,
    )
    return Autopilot(build_policy(Path(settings.autopilot_model_dir)), recent, operator, build_demand(settings))


def must_earn(settings: Settings, policy: Policy) -> bool:
    """Whether a policy has to earn its place on each fleet: the rule itself has not, and a batch has no days."""
    return settings.autopilot_earn == "on" and not settings.sagemaker_batch and isinstance(policy, LearnedPolicy)


def trained_on(policy: Policy) -> TrainedOn | None:
    """What a policy learned from; None for one that does not say, and for the rule, which learned nothing."""
    return policy.trained_on if isinstance(policy, LearnedPolicy) else None


def build_policy(directory: Path) -> Policy:
    """The mounted model, else the built-in one, else the calibrated rule.

    Raises ModelError for a model that is bad, and where a directory (or archive) was named that is not there: only the
    platform's own may be missing, and the link of a place where nothing was promoted yet.
    """
    if directory not in (PLATFORM_MODEL, directory.parent / NOT_YET) and not directory.exists():
        raise ModelError(f"AUTOPILOT_MODEL_DIR names {directory}, which is not there. Correct it, or leave it away.")
    for place in (directory, BUILT_IN_MODEL):
        try:
            if place.is_file() or (place.is_dir() and any(place.iterdir())):
                with unpacked(place) as model:
                    return load_policy(model)
        except OSError as error:  # without capabilities root, too, is bound by permissions
            raise ModelError(f"{place} cannot be read ({error}). Make it readable for all (chmod -R o+rX).") from error
    return CalibratedPolicy()


def build_history(settings: Settings) -> History:
    """The history store. Opens nothing yet."""
    if settings.sagemaker_batch:
        return MemoryHistory()
    place = settings.history_place()
    if place.kind == "off":
        return NoHistory()
    fleets = settings.autopilot_history_cache_mb * _FLEETS_A_MEGABYTE
    store = open_store(place, most_fleets=fleets)
    if not settings.writes_history:
        return ReadOnlyHistory(store)
    return SlotHistory(store, most_fleets=fleets, read_today=store.read_today if isinstance(store, ReadsMany) else None)


def open_store(place: HistoryPlace, budget_seconds: float = 1.0, most_fleets: int = _FLEETS_A_MEGABYTE) -> History:
    """The store at a place, of which no call takes longer than the budget. Opens nothing yet."""
    if place.kind == "dynamodb":
        return _dynamo(place.where, budget_seconds, most_fleets)
    return _sqlite(place.where, budget_seconds)


def build_services(settings: Settings, policy: Policy) -> ServiceAdvisor:
    """What advises web services by that policy. Opens nothing yet."""
    return ServiceAdvisor(policy, _service_states(settings))


def _service_states(settings: Settings) -> ServiceStates:
    place = settings.history_place()
    if settings.sagemaker_batch or place.kind == "off" or not settings.writes_history:
        return MemoryStates()
    if place.kind == "dynamodb":
        from autopilot.history.dynamodb_client import make_client  # noqa: PLC0415 - boto3, only where it is used
        from autopilot.history.service_states_dynamodb import DynamoStates  # noqa: PLC0415

        return DynamoStates(place.where, lambda: make_client(None))
    from autopilot.history.service_states_sqlite import SqliteStates  # noqa: PLC0415 - only the store that is used

    return SqliteStates(f"{place.where}.services")


def _dynamo(table: str, budget_seconds: float, fleets: int) -> History:
    from autopilot.history.dynamodb import DynamoHistory  # noqa: PLC0415 - boto3 costs 0.3 s and 20 MB

    history = DynamoHistory(table, budget_seconds=budget_seconds, most_fleets=fleets)
    history.warm_up()
    return history


def _sqlite(path: str, budget_seconds: float) -> History:
    from autopilot.history.sqlite import SqliteHistory  # noqa: PLC0415 - only the store that is used

    return SqliteHistory(path, budget_seconds=budget_seconds)


def build_demand(settings: Settings) -> DemandSource | None:
    """The demand source, if one is set."""
    if not settings.gs_inventory_url:
        return None
    from autopilot.demand.http import HttpDemand  # noqa: PLC0415 - only where a URL is set

    return HttpDemand(settings.gs_inventory_url, settings.gs_inventory_field, settings.gs_inventory_timeout)
