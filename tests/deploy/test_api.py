"""The API in front of the endpoint: its templates are run by a Velocity engine, and what they make is sent on."""

import json
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import quote, unquote

import airspeed
import pytest
import yaml

from autopilot_deploy.core.names import Names
from autopilot_deploy.core.stack import api
from testkit.aws.real_server import serving

TEMPLATE = yaml.safe_load((Path(__file__).parents[2] / "deploy" / "stack" / "template.yaml").read_text())
RESOURCES = TEMPLATE["Resources"]
OURS = {name: one for name, one in RESOURCES.items() if one["Type"].startswith("AWS::ApiGateway") or name == "ApiRole"}


class Util:
    """`$util`, as API Gateway documents it."""

    @staticmethod
    def urlDecode(text):  # noqa: N802 - its name
        return unquote(text)

    @staticmethod
    def escapeJavaScript(text):  # noqa: N802 - its name
        return json.dumps(text)[1:-1].replace("'", "\\'").replace("/", "\\/")


class Input:
    """`$input`, of a path parameter or of a JSON body."""

    def __init__(self, fleet="", body=None):
        self.fleet, self.body = fleet, body or {}

    def params(self, name):
        return {"fleet": self.fleet}[name]

    def path(self, place):
        return self.body.get(place.removeprefix("$."), "")


def rendered(template, **given):
    return airspeed.Template(template).merge({"util": Util, **given})


@pytest.mark.parametrize("fleet", ["us-west-2", "us-west-2/shooter", 'a"b', "x\\y", "größe", 'a", "demand": 0, "b": "'])
@pytest.mark.parametrize("encoded", [False, True])
def test_a_get_asks_for_the_fleet_of_its_path_and_nothing_else(fleet, encoded):
    path = quote(fleet, safe="") if encoded else fleet
    assert json.loads(rendered(api.FLEET_REQUEST, input=Input(path))) == {"fleet": fleet}


def test_a_name_with_a_single_quote_is_no_request():
    with pytest.raises(ValueError, match="escape"):
        json.loads(rendered(api.FLEET_REQUEST, input=Input("eu/o'brien")))


def test_what_a_get_becomes_is_answered_by_the_container():
    body = rendered(api.FLEET_REQUEST, input=Input("us-west-2%2Fshooter"))
    with serving(AUTOPILOT_HISTORY="off") as url:
        request = urllib.request.Request(f"{url}/invocations", body.encode(), {"Content-Type": "application/json"})
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request)
        told = json.loads(refused.value.read())
    assert told["error"]["field"] == "demand", "there is no GS_INVENTORY_URL here: it says so, for this fleet"


def test_a_refusal_of_the_container_reaches_the_caller_as_it_was():
    original = '{"error": {"code": "missing", "message": "demand is missing", "field": "demand"}}'
    context = {"responseOverride": {}}
    body = {"OriginalStatusCode": 400, "OriginalMessage": original}
    told = rendered(api.REFUSAL, input=Input(body=body), context=context)
    assert context["responseOverride"] == {"status": 400}
    assert json.loads(told)["error"]["code"] == "missing"


def test_every_part_of_the_api_is_there_only_where_it_was_asked_for():
    assert len(OURS) == 8
    assert all(one["Condition"] == api.CONDITION for one in OURS.values())
    assert TEMPLATE["Parameters"]["ApiAccess"]["Default"] == "none"


def test_nobody_calls_it_without_the_rights_to():
    methods = [one["Properties"] for one in OURS.values() if one["Type"] == "AWS::ApiGateway::Method"]
    assert {(one["HttpMethod"], one["AuthorizationType"]) for one in methods} == {
        ("GET", "AWS_IAM"),
        ("POST", "AWS_IAM"),
    }


def test_its_role_may_ask_this_one_endpoint_and_nothing_else():
    (policy,) = OURS["ApiRole"]["Properties"]["Policies"]
    (statement,) = policy["PolicyDocument"]["Statement"]
    assert statement["Action"] == "sagemaker:InvokeEndpoint"
    assert statement["Resource"]["Fn::Sub"].endswith(":endpoint/${EndpointName}")


def test_a_change_of_the_api_is_deployed_anew():
    made = api.resources(api_names("one"), [])
    other = api.resources(api_names("two"), [])
    assert deployment(made) != deployment(other)
    assert deployment(made) == deployment(api.resources(api_names("one"), []))


def api_names(endpoint):
    return Names(endpoint, "123456789012", "us-west-2", "aws")


def deployment(resources):
    return next(name for name, one in resources.items() if one["Type"] == "AWS::ApiGateway::Deployment")
