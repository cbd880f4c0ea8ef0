"""Carry out a plan: make its calls, wait where it says so, and put back what was taken away if something fails."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from autopilot_deploy.calls.ports import Aws, Clock, Console
from autopilot_deploy.core.account import EndpointState, Phase, ScalingTarget
from autopilot_deploy.core.call import AwsCall, Json
from autopilot_deploy.core.errors import AwsError, DeadlineError, DeployError
from autopilot_deploy.core.names import Names
from autopilot_deploy.core.plan import AwaitGone, AwaitLive, AwaitNoTable, AwaitSettled, AwaitTable, ChangePlan, Step
from autopilot_deploy.core.services import dynamodb, scaling
from autopilot_deploy.flows.gather import find_endpoint, look_up

POLL_SECONDS = 15.0
RETRY_SECONDS = 5.0
RETRIES = 12
STILL_OLD_POLLS = 4
"""How often an endpoint may look unchanged right after an update, before that counts as the outcome."""


@dataclass(frozen=True, slots=True)
class DeployContext:
    """What a flow acts with. `deadline` on the clock's own scale."""

    aws: Aws
    clock: Clock
    console: Console
    names: Names
    deadline: float

    def wait(self, done: Callable[[], bool], what: str, tell: Callable[[], str], every: float = POLL_SECONDS) -> None:
        """Wait until `done`, with a line of progress at each look. Raises DeadlineError, and what `done` raises.

        AWS goes on while we cannot reach it: an error that passes by itself only costs a look.
        """
        started = self.clock.now()
        while True:
            try:
                if done():
                    return
                seen = tell()
            except AwsError as error:
                if not error.passing:
                    raise
                seen = f"no answer from AWS ({error.code}), trying on"
            now = self.clock.now()
            if now >= self.deadline:
                raise DeadlineError(
                    f"{what} did not happen in time; last seen: {seen}. AWS goes on by itself: "
                    "run the same command again to wait on and to finish"
                )
            self.console.say(f"  {now - started:5.0f} s  {seen}")
            self.clock.sleep(min(every, self.deadline - now))


def apply(plan: ChangePlan, context: DeployContext) -> None:
    """Carry out a plan. Raises DeployError; what was taken away for the update is then back."""
    for position, step in enumerate(plan.steps):
        try:
            _take(step, context)
        except DeployError as error:
            if position in plan.risky and plan.freed and not isinstance(error, DeadlineError):
                _restore(plan.freed, plan.steps[: position + 1], context)
            raise


def rehearse(plan: ChangePlan) -> list[str]:
    """The plan as lines for a shell: calls as commands, waits as comments."""
    return [*(f"# note: {note}" for note in plan.notes), *map(_rehearsed, plan.steps)] or ["# nothing to do"]


def _rehearsed(step: Step) -> str:
    match step:
        case AwsCall():
            return step.as_command()
        case AwaitLive(config):
            return f"# wait until the endpoint is in service on {config}"
        case AwaitSettled():
            return "# wait until the endpoint has stopped changing"
        case AwaitGone():
            return "# wait until the endpoint is gone"
        case AwaitTable(name):
            return f"# wait until the table {name} is active"
        case AwaitNoTable(name):
            return f"# wait until the table {name} is gone"


def _take(step: Step, context: DeployContext) -> None:
    match step:
        case AwsCall():
            context.console.say(step.title())
            make(step, context)
        case AwaitLive(config):
            _await_live(config, context)
        case AwaitSettled():
            await_settled(context)
        case AwaitGone():
            _await_gone(context)
        case AwaitTable(name):
            _await_table(name, context)
        case AwaitNoTable(name):
            _await_no_table(name, context)


def make(call: AwsCall, context: DeployContext) -> Json | None:
    """Make a call; refusals that mean "already so" are fine, those that pass by themselves are tried again."""
    for _ in range(RETRIES):
        try:
            return context.aws.make(call)
        except AwsError as error:
            if error.says(call.done_if):
                return None
            if not error.says(call.retry_if) or context.clock.now() >= context.deadline:
                raise
            context.console.say(f"  AWS is not ready for it yet, again in {RETRY_SECONDS:.0f} s")
            context.clock.sleep(RETRY_SECONDS)
    return context.aws.make(call)


def _restore(freed: Sequence[ScalingTarget], taken: Sequence[Step], context: DeployContext) -> None:
    """Put targets back that are still as these steps left them; others belong to another deployment by now.

    Best effort: the error that led here is the one to report.
    """
    context.console.say("putting auto scaling back as it was")
    for target in freed:
        try:
            _restore_one(target, taken, context)
        except DeployError as error:
            context.console.say(f"  could not: {error}")


def _restore_one(target: ScalingTarget, taken: Sequence[Step], context: DeployContext) -> None:
    ours = [scaling.bounds_of(one.parameters) for one in taken if isinstance(one, AwsCall) and scaling.registers(one)]
    listed = context.aws.entries(scaling.describe_target(target.resource), "ScalableTargets")
    there = [scaling.bounds_of(one) for one in listed]
    if all(one in ours for one in there):
        for call in scaling.restore(target):
            make(call, context)
    elif there != [(target.resource, target.least, target.most)]:
        context.console.say(f"  {target.resource} has other bounds now, of another deployment: they stay")


class _Watch:
    """The endpoint, looked at again and again."""

    def __init__(self, context: DeployContext) -> None:
        self._context = context
        self.seen: EndpointState | None = None

    def look(self) -> EndpointState | None:
        self.seen = find_endpoint(self._context.aws, self._context.names)
        return self.seen

    def tell(self) -> str:
        return "gone" if self.seen is None else f"{self.seen.status} on {self.seen.config}"


def await_settled(context: DeployContext) -> None:
    """Wait until the endpoint has stopped changing. Raises DeadlineError."""
    watch = _Watch(context)
    context.wait(lambda: (e := watch.look()) is None or e.phase is not Phase.BUSY, "the endpoint's change", watch.tell)


def _await_gone(context: DeployContext) -> None:
    watch = _Watch(context)

    def gone() -> bool:
        endpoint = watch.look()
        if endpoint is not None and endpoint.status == "Failed":
            raise DeployError(f"the endpoint could not be deleted: {endpoint.reason or 'SageMaker gives no reason'}")
        return endpoint is None

    context.wait(gone, "the endpoint's end", watch.tell)


def _await_live(config: str, context: DeployContext) -> None:
    """In service on the config. Anything else that lasts is a failure, a rollback that says InService too."""
    watch, unchanged = _Watch(context), 0

    def live() -> bool:
        nonlocal unchanged
        endpoint = watch.look()
        if endpoint is None:
            raise DeployError("the endpoint is gone: someone deleted it meanwhile")
        if endpoint.phase is Phase.BUSY:
            unchanged = STILL_OLD_POLLS
            return False
        unchanged += 1
        as_wanted = endpoint.phase is Phase.LIVE and endpoint.config == config
        if not as_wanted and unchanged < STILL_OLD_POLLS:
            return False
        _judge(endpoint, config)
        return True

    context.wait(live, "the endpoint's start", watch.tell)


def _judge(endpoint: EndpointState, config: str) -> None:
    reason = endpoint.reason or f"see the log group /aws/sagemaker/Endpoints/{endpoint.name}"
    if endpoint.phase is Phase.LIVE and endpoint.config == config:
        return
    if endpoint.phase is Phase.LIVE:
        raise DeployError(f"the update was rolled back: {endpoint.config} is in service, not {config}: {reason}")
    raise DeployError(f"the endpoint is {endpoint.status}: {reason}")


def _await_table(name: str, context: DeployContext) -> None:
    state = ""

    def active() -> bool:
        nonlocal state
        state = context.aws.make(dynamodb.describe(context.names, name))["Table"]["TableStatus"]
        return bool(state == "ACTIVE")

    context.wait(active, f"table {name}", lambda: state, every=2)


def _await_no_table(name: str, context: DeployContext) -> None:
    """A table that an earlier `destroy` deleted is there for a little longer."""
    describe = dynamodb.describe(context.names, name)
    context.wait(
        lambda: look_up(context.aws, describe) is None, f"the end of table {name}", lambda: "DELETING", every=2
    )
