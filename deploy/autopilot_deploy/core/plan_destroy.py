"""How everything that was made for an endpoint goes away, and nothing else."""

from collections.abc import Iterator

from autopilot_deploy.core.account import AccountState, Phase
from autopilot_deploy.core.call import AwsCall
from autopilot_deploy.core.names import Names
from autopilot_deploy.core.plan import AwaitGone, AwaitSettled, ChangePlan, Step
from autopilot_deploy.core.services import cloudwatch, dynamodb, iam, logs, sagemaker, scaling


def plan_destroy(names: Names, found: AccountState, table: str, keep_history: bool) -> ChangePlan:
    """Everything that was made for the endpoint, away, in an order that leaves nothing hanging.

    A run that stops on the way leaves what leads to the rest: configs name the models, models the table.
    """
    whole = found.endpoint is None or found.endpoint_ours
    steps = (
        *(_delete_endpoint(names, found) if whole else ()),
        *(_delete_supporting(names, found) if whole else ()),
        *_delete_table(names, found, table, keep_history),
        *(sagemaker.delete_model(names, one) for one in _unused(found, found.own_models, whole)),
        *(sagemaker.delete_config(names, one) for one in _unused(found, found.own_configs, whole)),
    )
    note = f"the endpoint {names.endpoint} was not made by this program: it stays, with all that it uses"
    return ChangePlan(steps, notes=() if whole else (note,))


def _delete_endpoint(names: Names, found: AccountState) -> Iterator[Step]:
    yield from (scaling.deregister(one.resource) for one in found.targets)
    if found.endpoint is None:
        return
    if found.endpoint.phase is Phase.BUSY and found.endpoint.status != "Deleting":
        yield AwaitSettled()
    if found.endpoint.status != "Deleting":
        yield sagemaker.delete_endpoint(names)
    yield AwaitGone()


def _delete_supporting(names: Names, found: AccountState) -> Iterator[AwsCall]:
    if found.alarms:
        yield cloudwatch.delete_alarms(found.alarms)
    if found.dashboard:
        yield cloudwatch.delete_dashboard(names)
    if found.log_group is not None and found.log_group.ours:
        yield logs.delete(names)
    if found.role is not None and found.role.ours:
        yield from (iam.delete_policy(names, one) for one in found.role.policies)
        yield iam.delete_role(names)


def _delete_table(names: Names, found: AccountState, table: str, keep: bool) -> Iterator[AwsCall]:
    """The table goes with its last user, if this program made it. It goes before the models, which name it."""
    there = found.table
    if there is None or names.endpoint not in there.users:
        return
    if there.ours and there.users == (names.endpoint,) and not keep:
        yield dynamodb.delete(names, table)
    elif not keep:
        yield dynamodb.untag_user(names, table)


def _unused(found: AccountState, mine: tuple[str, ...], whole: bool) -> list[str]:
    """Without what an endpoint that stays is using."""
    live = {} if whole or found.live_config is None else found.live_config
    variants = (*live.get("ProductionVariants", []), *live.get("ShadowProductionVariants", []))
    used = {live.get("EndpointConfigName"), *(one.get("ModelName") for one in variants)}
    return [one for one in mine if one not in used]
