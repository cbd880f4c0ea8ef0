"""An AWS account for tests: moto for everything, and in front of it the endpoint states and rules that moto lacks."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import boto3
from botocore import xform_name

from autopilot_deploy.calls.boto import BotoAws
from autopilot_deploy.core.call import AwsCall, Json
from autopilot_deploy.core.errors import aws_error
from autopilot_deploy.core.services import scaling
from autopilot_deploy.core.shapes import operation, problems

REGION = "us-west-2"

# What DescribeEndpoint says, look after look, once an endpoint is created or updated. The last one stays.
SCRIPTS = {
    "fine": ("busy", "busy", "InService"),
    "failed": ("busy", "Failed"),
    "rolled back": ("busy", "RollingBack", "old"),
    "rolled back unseen": ("old",),
    "late": ("old", "busy", "InService"),
    "rollback failed": ("busy", "RollingBack", "UpdateRollbackFailed"),
    "out of service": ("busy", "OutOfService"),
    "never ends": ("busy",),
    "a state of the future": ("busy", "Hibernating"),
}


@cache
def _shared() -> BotoAws:
    """Making clients takes longer than all calls of a test: all accounts share them, moto empties itself between."""
    session = boto3.Session("emulator", "emulator", region_name=REGION)
    return BotoAws(session)


class AccountClock:
    """Time that passes only when someone sleeps."""

    def __init__(self) -> None:
        self.time = 0.0

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds


@dataclass
class _Endpoint:
    config: str
    pending: str
    busy: str
    looks: list[str]
    reason: str = ""
    counts: dict[str, int] = field(default_factory=dict)

    def look(self) -> str:
        state = self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]
        if state == "InService":
            self.config = self.pending
        return {"busy": self.busy, "old": "InService"}.get(state, state)

    @property
    def settled(self) -> bool:
        return len(self.looks) == 1 and self.looks[0] != "busy"


class Account:
    """An Aws over moto. `script`: how the next creation or update of the endpoint goes. `denied`: actions refused."""

    _publish: Callable[[AwsCall], Any]
    _invoke_endpoint: Callable[[AwsCall], Any]

    def __init__(self, script: str = "fine") -> None:
        self._moto = _shared()
        self.script = script
        self.reason = "the alarm autopilot-high-errors rang"
        self.made: list[AwsCall] = []
        self.failing: dict[str, list[tuple[str, str]]] = {}
        self.began = 0  # the second in which a machine last began on it
        self._endpoints: dict[str, _Endpoint] = {}

    @property
    def region(self) -> str:
        return REGION

    def make(self, call: AwsCall) -> Json:
        shape = operation(call.service, call.operation).input_shape
        faults = [] if shape is None else list(problems(shape, dict(call.parameters), "$"))
        assert not faults, f"{call.title()} does not fit AWS's model: {faults}"
        self.made.append(call)
        if self.failing.get(call.operation):
            raise aws_error(call, *self.failing[call.operation].pop(0))
        own = getattr(self, f"_{xform_name(call.operation)}", None)
        return own(call) if own else self._moto.make(call)

    def entries(self, call: AwsCall, key: str) -> list[Json]:
        self.made.append(call)
        return self._moto.entries(call, key)

    def operations(self) -> list[str]:
        """The names of all calls that changed something, in order."""
        return [call.operation for call in self.made if call.writes]

    def asked(self, name: str) -> list[Json]:
        """The parameters of all calls of one operation."""
        return [call.parameters for call in self.made if call.operation == name]

    def autoscale(self, endpoint: str, variant: str, count: int) -> None:
        """What auto scaling does: another number of instances."""
        self._endpoints[endpoint].counts[variant] = count

    def rename_config(self, old: str, new: str) -> None:
        """Another name for a config: names carry the second, and tests deploy twice in one."""
        for endpoint in self._endpoints.values():
            endpoint.config = new if endpoint.config == old else endpoint.config
            endpoint.pending = new if endpoint.pending == old else endpoint.pending
        described = dict(self._moto.make(AwsCall("sagemaker", "DescribeEndpointConfig", {"EndpointConfigName": old})))
        kept = {key: described[key] for key in ("ProductionVariants",)}
        self._moto.make(AwsCall("sagemaker", "CreateEndpointConfig", {"EndpointConfigName": new} | kept))
        self._moto.make(AwsCall("sagemaker", "DeleteEndpointConfig", {"EndpointConfigName": old}))

    # What moto does not do, or does otherwise than AWS.

    def _describe_endpoint(self, call: AwsCall) -> Json:
        name = call.parameters["EndpointName"]
        if name not in self._endpoints:
            raise aws_error(call, "ValidationException", f'Could not find endpoint "{name}".')
        there = self._endpoints[name]
        status = there.look()
        reason = {} if status in {"Creating", "Updating"} or not there.reason else {"FailureReason": there.reason}
        variants = [{"VariantName": key, "DesiredInstanceCount": count} for key, count in there.counts.items()]
        answer = {"EndpointName": name, "EndpointStatus": status, "EndpointConfigName": there.config}
        return answer | reason | {"ProductionVariants": variants}

    def _create_endpoint(self, call: AwsCall) -> Json:
        name, config = call.parameters["EndpointName"], call.parameters["EndpointConfigName"]
        if name in self._endpoints:
            raise aws_error(call, "ValidationException", f"Cannot create already existing endpoint {name}")
        self._moto.make(call)
        self._endpoints[name] = self._begin(config, "Creating", config)
        return {}

    def _update_endpoint(self, call: AwsCall) -> Json:
        name, config = call.parameters["EndpointName"], call.parameters["EndpointConfigName"]
        there = self._endpoints[name]
        if not there.settled:
            raise aws_error(call, "ValidationException", "Cannot update in-progress endpoint")
        self._refuse_scaled(call, name, there.config, config)
        begun = self._begin(config, "Updating", there.config)
        if call.parameters.get("RetainAllVariantProperties"):
            begun.counts = {**begun.counts, **there.counts}
        self._endpoints[name] = begun
        return {}

    def _begin(self, config: str, busy: str, live: str) -> _Endpoint:
        looks = list(SCRIPTS[self.script])
        reason = "" if self.script in {"fine", "late"} else self.reason
        counts = {one["VariantName"]: one["InitialInstanceCount"] for one in self._variants(config)}
        return _Endpoint(live, config, busy, looks, reason, counts)

    def _refuse_scaled(self, call: AwsCall, name: str, old: str, new: str) -> None:
        types = {one["VariantName"]: one.get("InstanceType") for one in self._variants(new)}
        for variant in self._variants(old):
            resource = f"endpoint/{name}/variant/{variant['VariantName']}"
            changed = types.get(variant["VariantName"]) != variant["InstanceType"]
            if changed and resource in self.targets():
                raise aws_error(call, "ValidationException", f"{resource} has scaling policies: deregister it first")

    def _variants(self, config: str) -> list[Any]:
        described = self._moto.make(AwsCall("sagemaker", "DescribeEndpointConfig", {"EndpointConfigName": config}))
        return [one for one in described["ProductionVariants"] if "InitialInstanceCount" in one]

    def _delete_endpoint(self, call: AwsCall) -> Json:
        if not self._endpoints[call.parameters["EndpointName"]].settled:
            raise aws_error(call, "ValidationException", "Cannot update in-progress endpoint")
        del self._endpoints[call.parameters["EndpointName"]]
        return self._moto.make(call)

    def _delete_endpoint_config(self, call: AwsCall) -> Json:
        name = call.parameters["EndpointConfigName"]
        assert all(name != one.config for one in self._endpoints.values()), f"{name} is in use"
        return self._moto.make(call)

    def _create_model(self, call: AwsCall) -> Json:
        return self._new(call, "DescribeModel", "ModelName")

    def _create_endpoint_config(self, call: AwsCall) -> Json:
        return self._new(call, "DescribeEndpointConfig", "EndpointConfigName")

    def _new(self, call: AwsCall, describe: str, key: str) -> Json:
        name = call.parameters[key]
        listed = {"DescribeModel": ("ListModels", "Models"), "DescribeEndpointConfig": _CONFIGS}[describe]
        if any(one[key] == name for one in self._moto.entries(AwsCall("sagemaker", listed[0], {}), listed[1])):
            raise aws_error(call, "ValidationException", f"Cannot create already existing {name}")
        return self._moto.make(call)

    # What is there, for assertions.

    def targets(self) -> dict[str, tuple[int, int]]:
        call = AwsCall(scaling.SERVICE, "DescribeScalableTargets", {"ServiceNamespace": "sagemaker"})
        listed = self._moto.entries(call, "ScalableTargets")
        return {one["ResourceId"]: (one["MinCapacity"], one["MaxCapacity"]) for one in listed}

    def contents(self) -> dict[str, list[str]]:
        """Everything in the account that can be made here, by kind; what is empty is left out."""
        found = {kind: sorted(_named(self._moto.entries(call, key))) for kind, (call, key) in _EVERYTHING.items()}
        found["endpoints"] = sorted(self._endpoints)
        found["targets"] = sorted(self.targets())
        return {kind: names for kind, names in found.items() if names}


_CONFIGS = ("ListEndpointConfigs", "EndpointConfigs")
_EVERYTHING = {
    "models": (AwsCall("sagemaker", "ListModels", {}), "Models"),
    "configs": (AwsCall("sagemaker", "ListEndpointConfigs", {}), "EndpointConfigs"),
    "roles": (AwsCall("iam", "ListRoles", {}), "Roles"),
    "tables": (AwsCall("dynamodb", "ListTables", {}), "TableNames"),
    "log groups": (AwsCall("logs", "DescribeLogGroups", {}), "logGroups"),
    "alarms": (AwsCall("cloudwatch", "DescribeAlarms", {}), "MetricAlarms"),
    "dashboards": (AwsCall("cloudwatch", "ListDashboards", {}), "DashboardEntries"),
}
_NAMES = ("ModelName", "EndpointConfigName", "RoleName", "logGroupName", "AlarmName", "DashboardName")


def _named(entries: Iterable[Any]) -> Iterable[str]:
    for one in entries:
        yield one if isinstance(one, str) else next(one[key] for key in _NAMES if key in one)
