"""What to do, as a value, from what is wanted and what was found. Nothing here calls anything."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from autopilot_deploy.core.account import AccountState, EndpointState, Phase, ScalingTarget, TableState
from autopilot_deploy.core.call import AwsCall, Json
from autopilot_deploy.core.errors import PayloadError
from autopilot_deploy.core.names import Names
from autopilot_deploy.core.payload import Scaling, Variant, Wanted
from autopilot_deploy.core.requests import (
    config_request,
    counts_of,
    history_table,
    model_name,
    model_request,
    types_of,
)
from autopilot_deploy.core.services import dynamodb, iam, logs, sagemaker, scaling


@dataclass(frozen=True, slots=True)
class AwaitLive:
    """Wait until the endpoint is in service on this config; anything else that lasts is a failure."""

    config: str


@dataclass(frozen=True, slots=True)
class AwaitSettled:
    """Wait until the endpoint does something else than change."""


@dataclass(frozen=True, slots=True)
class AwaitGone:
    """Wait until the endpoint no longer exists."""


@dataclass(frozen=True, slots=True)
class AwaitNoTable:
    """Wait until the table no longer exists."""

    name: str


@dataclass(frozen=True, slots=True)
class AwaitTable:
    """Wait until the table can be used."""

    name: str


Step = AwsCall | AwaitLive | AwaitSettled | AwaitGone | AwaitTable | AwaitNoTable


@dataclass(frozen=True, slots=True)
class ChangePlan:
    """What to do in order. `freed`: targets to put back as they were, where a step at a place in `risky` fails."""

    steps: tuple[Step, ...]
    freed: tuple[ScalingTarget, ...] = ()
    risky: range = range(0)
    notes: tuple[str, ...] = ()


def plan_deploy(wanted: Wanted, names: Names, found: AccountState, retention_days: int) -> ChangePlan:
    """All that is missing between what was found and what is wanted. Raises PayloadError where it cannot be had."""
    _check_account(wanted, names, found)
    config = config_request(wanted, names, found.endpoint.counts if found.endpoint else {})
    statements = _statements(wanted, names)
    before = (
        *_role(wanted, names, found, statements), *_table(wanted, names, found),
        *_log_group(wanted, names, found, retention_days), *_models(wanted, names, found),
        *_config(names, found, config),
    )  # fmt: skip
    freed = _to_free(wanted, names, found)
    change = (
        *(scaling.deregister(one.resource) for one in freed),
        *_switch(wanted, names, found, config["EndpointConfigName"], keep_counts=not freed),
        *_scaling(wanted, names, found, freed),
    )
    after = (*_clean(wanted, names, found, config["EndpointConfigName"]), *_narrow(names, found, statements))
    risky = range(len(before), len(before) + len(change))
    return ChangePlan((*before, *change, *after), tuple(freed), risky, wanted.notes)


def _check_account(wanted: Wanted, names: Names, found: AccountState) -> None:
    faults = [fault for one in wanted.variants if (fault := _model_fault(wanted, names, found, one))]
    faults += [*_table_faults(history_table(wanted), found.table)]
    if faults:
        raise PayloadError("the payload does not fit the account:\n" + "\n".join(f"  {one}" for one in faults))


def _model_fault(wanted: Wanted, names: Names, found: AccountState, variant: Variant) -> str | None:
    """What is wrong with the model that a variant names; None: nothing."""
    if variant.model is None:
        return None
    where = f"variant {variant.name}: the model {variant.model}"
    there = found.models.get(variant.model)
    if there is None:
        return None if wanted.image else f"{where} does not exist: create it, or add image to the payload"
    if wanted.image and not _same_model(there, model_request(wanted, names, variant)):
        return f"{where} exists and is another: models cannot be changed, leave ModelName out or take a new one"
    if variant.shadow and _environment(there).get("AUTOPILOT_HISTORY_MODE") != "read-only":
        return f"{where} is for a shadow and would write history: set AUTOPILOT_HISTORY_MODE=read-only in it"
    return None


def _table_faults(table: str | None, there: TableState | None) -> Iterator[str]:
    """How a table that is there differs from what the container reads and writes."""
    if there is None or there.status == "DELETING":
        return
    where = f"the history table {table} exists"
    if there.key != dynamodb.KEY:
        yield f"{where} with the key {_key(there.key)}, not {_key(dynamodb.KEY)}: name another historyTable"
    if there.expires_by not in (None, dynamodb.TTL):
        yield (
            f"{where} and its items expire by {there.expires_by}, not {dynamodb.TTL}: switch its time to live off, "
            "or name another historyTable"
        )


def _key(parts: Sequence[tuple[str, str, str]]) -> str:
    return " + ".join(f"{name} ({kind}, {of})" for name, kind, of in parts)


def _environment(model: Json) -> Json:
    environment: Json = model.get("PrimaryContainer", {}).get("Environment", {})
    return environment


def _same_model(there: Json, wanted: Json) -> bool:
    mine, theirs = wanted["PrimaryContainer"], there.get("PrimaryContainer", {})
    return all(theirs.get(key) == value for key, value in mine.items())


def _statements(wanted: Wanted, names: Names) -> list[Json]:
    """What the role that is made here has to grant; nothing where no role is made."""
    if wanted.image is None or "roleArn" in wanted.options:
        return []
    statements = iam.role_statements(names, wanted.image, history_table(wanted), wanted.reads, wanted.writes)
    if wanted.options.get("vpcConfig"):
        statements.append(iam.network_statement())
    if wanted.topics:
        statements.append(iam.topic_statement(wanted.topics))
    if "kmsKeyId" in wanted.options:
        statements.append(iam.volume_key_statement(names, wanted.options["kmsKeyId"]))
    statements += iam.object_key_statements(names, wanted.object_keys)
    if wanted.rollback_alarms:
        statements.append(iam.alarm_statement(names, wanted.rollback_alarms))
    return statements


def _role(wanted: Wanted, names: Names, found: AccountState, statements: list[Json]) -> Iterator[AwsCall]:
    """A role that serves already gets what is new beside what it has: the config in service may stay, or come back."""
    if not statements:
        return
    there = found.role
    if there is None:
        yield iam.create_role(names, names.tags(wanted.tags))
    if there is None or iam.MAIN_POLICY not in there.policies:
        yield iam.put_policy(names, iam.MAIN_POLICY, statements)
    elif iam.document(statements) not in (there.policies[iam.MAIN_POLICY], there.policies.get(iam.NEXT_POLICY)):
        yield iam.put_policy(names, iam.NEXT_POLICY, statements)


def _narrow(names: Names, found: AccountState, statements: list[Json]) -> Iterator[AwsCall]:
    """The new config serves: its rights are enough."""
    there = {} if found.role is None or not statements else found.role.policies
    if iam.MAIN_POLICY not in there:
        return
    changed = there[iam.MAIN_POLICY] != iam.document(statements)
    if changed:
        yield iam.put_policy(names, iam.MAIN_POLICY, statements)
    if changed or iam.NEXT_POLICY in there:
        yield iam.delete_policy(names, iam.NEXT_POLICY)


def _table(wanted: Wanted, names: Names, found: AccountState) -> Iterator[Step]:
    table, there = history_table(wanted), found.table
    if table is None:
        return
    if there is not None and there.status == "DELETING":
        yield AwaitNoTable(table)
        there = None
    if there is None:
        yield dynamodb.create(names, table, wanted.tags)
    if there is None or there.status != "ACTIVE":
        yield AwaitTable(table)
    if there is None or there.expires_by is None:
        yield dynamodb.switch_on_ttl(names, table)
    if there is None or not there.recovery:
        yield dynamodb.switch_on_recovery(names, table)
    if there is not None and there.ours and names.endpoint not in there.users:
        yield dynamodb.tag_user(names, table)


def _log_group(wanted: Wanted, names: Names, found: AccountState, days: int) -> Iterator[AwsCall]:
    """Our own group keeps what is asked for; someone else's keeps its setting, if it has one."""
    there = found.log_group
    if there is None:
        yield logs.create(names, wanted.tags)
    if there is None or there.days is None or (there.ours and there.days != days):
        yield logs.keep_for(names, days)


def _models(wanted: Wanted, names: Names, found: AccountState) -> Iterator[AwsCall]:
    if wanted.image is None:
        return
    requests = {(r := model_request(wanted, names, one))["ModelName"]: r for one in wanted.variants}
    for name, request in requests.items():
        if name not in found.models:
            yield sagemaker.create_model(names, request)


def _config(names: Names, found: AccountState, config: Json) -> Iterator[AwsCall]:
    """The config, unless it is there. One of the same content and another size is left from an earlier try."""
    name = config["EndpointConfigName"]
    there = found.configs.get(name)
    if there is not None and (_serves(found.endpoint, name) or counts_of(there) == counts_of(config)):
        return
    if there is not None:
        yield sagemaker.delete_config(names, name)
    yield sagemaker.create_config(names, config)


def _serves(endpoint: EndpointState | None, config: str) -> bool:
    return endpoint is not None and endpoint.phase is Phase.LIVE and endpoint.config == config


def _to_free(wanted: Wanted, names: Names, found: AccountState) -> list[ScalingTarget]:
    """Targets that an update needs out of the way: AWS refuses to change the type of a scaled variant or remove it.

    Also those that are no longer wanted.
    """
    live = types_of(found.live_config or {})
    kept = {one.name for one in wanted.scaled if live.get(one.name, one.instance_type) == one.instance_type}
    return [one for one in found.targets if one.variant not in kept]


def _switch(wanted: Wanted, names: Names, found: AccountState, config: str, keep_counts: bool) -> Iterator[Step]:
    there, deployment = found.endpoint, wanted.options.get("deploymentConfig")
    if _serves(there, config):
        return
    if there is not None and there.phase is Phase.BUSY:
        yield AwaitSettled()
    if there is not None and there.phase is Phase.DEAD:
        yield sagemaker.delete_endpoint(names)
        yield AwaitGone()
    if there is None or there.phase is Phase.DEAD:
        yield sagemaker.create_endpoint(names, config, names.tags(wanted.tags), deployment)
    else:
        same = set(there.counts) == {one.name for one in wanted.variants if not one.shadow}
        keep = keep_counts and same and bool(wanted.scaled)
        yield sagemaker.update_endpoint(names, config, deployment, keep)
    yield AwaitLive(config)


def _scaling(wanted: Wanted, names: Names, found: AccountState, freed: list[ScalingTarget]) -> Iterator[AwsCall]:
    there = {one.resource: one for one in found.targets if one not in freed}
    for variant in wanted.scaled:
        assert wanted.scaling is not None  # noqa: S101 - what is scaled has bounds
        yield from _scale(names.variant(variant.name), wanted.scaling, there.get(names.variant(variant.name)))


def _scale(resource: str, wanted: Scaling, there: ScalingTarget | None) -> Iterator[AwsCall]:
    if there is None or (there.least, there.most) != (wanted.least, wanted.most):
        yield scaling.register(resource, wanted.least, wanted.most)
    if there is None or there.policies.get(scaling.POLICY) != wanted.policy:
        yield scaling.put_policy(resource, wanted.policy)


def _clean(wanted: Wanted, names: Names, found: AccountState, config: str) -> Iterator[AwsCall]:
    """Configs and models that this program made for the endpoint earlier, and that nothing uses now."""
    models = {model_name(wanted, names, one) for one in wanted.variants}
    yield from (sagemaker.delete_config(names, one) for one in found.own_configs if one != config)
    yield from (sagemaker.delete_model(names, one) for one in found.own_models if one not in models)
