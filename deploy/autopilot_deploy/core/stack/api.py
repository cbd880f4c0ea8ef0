"""An API in front of the endpoint, for callers that cannot sign InvokeEndpoint: API Gateway's own integration.

Nothing of ours runs in it. `GET …/api/predict/FLEET` asks as the field's example does (the container reads demand by
itself), `POST …/api/predict` sends a request as `/invocations` takes it. Callers are authorised by IAM.
"""

import hashlib
import json
from typing import Any

from autopilot_deploy.core.call import Json
from autopilot_deploy.core.names import Names
from autopilot_deploy.core.services import iam

CONDITION = "HasApi"
STAGE = "api"
_REQUESTS_A_SECOND, _BURST = 100, 200
_JSON = "application/json"

FLEET_REQUEST = """\
#set($fleet = $util.escapeJavaScript($util.urlDecode($input.params('fleet'))))
{"fleet": "$fleet"}"""
"""The body of a GET. A single quote comes out escaped, which JSON refuses: no fleet's name has one."""

REFUSAL = """\
#set($status = $input.path('$.OriginalStatusCode'))
#if($status != '')#set($context.responseOverride.status = $status)#end
$input.path('$.OriginalMessage')"""
"""What the container refused, with the container's own status and words."""

UNREACHED = '{"error": {"code": "endpoint_unavailable", "message": "the endpoint did not answer", "field": null}}'
"""Whatever else SageMaker says: it is no answer, and names things that are not the caller's."""


def resources(names: Names, tags: list[dict[str, str]]) -> dict[str, Json]:
    """The API, its two routes, its stage, and the role by which it may ask this one endpoint."""
    made = {
        "ApiRole": _resource("IAM::Role", _role(names, tags)),
        "Api": _resource(
            "ApiGateway::RestApi",
            {"Name": names.endpoint, "EndpointConfiguration": {"Types": ["REGIONAL"]}, "Tags": tags},
        ),
        "ApiPredict": _path({"Fn::GetAtt": ["Api", "RootResourceId"]}, "predict"),
        "ApiFleet": _path({"Ref": "ApiPredict"}, "{fleet+}"),
        "ApiAsk": _method("POST", "ApiPredict", {}, _integration(names, {}, "WHEN_NO_MATCH")),
        "ApiAskFleet": _method(
            "GET",
            "ApiFleet",
            {"method.request.path.fleet": True},
            _integration(names, {_JSON: FLEET_REQUEST}, "WHEN_NO_TEMPLATES"),
        ),
    }
    deployment = _deployment_name(made)
    return made | {
        deployment: _resource(
            "ApiGateway::Deployment", {"RestApiId": {"Ref": "Api"}}, DependsOn=["ApiAsk", "ApiAskFleet"]
        ),
        "ApiStage": _resource("ApiGateway::Stage", _stage(deployment, tags)),
    }


def url(names: Names) -> str:
    """Where the API is called, for the stack's outputs."""
    return f"https://${{Api}}.execute-api.{names.region}.${{AWS::URLSuffix}}/{STAGE}/predict"


def _resource(kind: str, properties: Json, **more: object) -> dict[str, Any]:
    return {"Type": f"AWS::{kind}", "Condition": CONDITION, **more, "Properties": properties}


def _deployment_name(made: Json) -> str:
    """Named after what it deploys: API Gateway serves a snapshot, and a change needs a new one."""
    return f"ApiDeployment{hashlib.sha256(json.dumps(made, sort_keys=True).encode()).hexdigest()[:10]}"


def _role(names: Names, tags: list[dict[str, str]]) -> Json:
    """A role for API Gateway alone. It passes no source account along; that only roles of the own account can be
    passed to it is what keeps other accounts out."""
    trust = {"Effect": "Allow", "Principal": {"Service": "apigateway.amazonaws.com"}, "Action": "sts:AssumeRole"}
    ask = {
        "Sid": "Ask",
        "Effect": "Allow",
        "Action": "sagemaker:InvokeEndpoint",
        "Resource": names.sagemaker("endpoint", "@").replace("@", names.endpoint),
    }
    policy = {"PolicyName": "least", "PolicyDocument": iam.document([ask])}
    return {"AssumeRolePolicyDocument": iam.document([trust]), "Policies": [policy], "Tags": tags}


def _path(parent: Json, part: str) -> Json:
    return _resource("ApiGateway::Resource", {"RestApiId": {"Ref": "Api"}, "ParentId": parent, "PathPart": part})


def _method(verb: str, path: str, parameters: Json, integration: Json) -> Json:
    statuses = ("200", "424", "503")
    return _resource(
        "ApiGateway::Method",
        {
            "RestApiId": {"Ref": "Api"},
            "ResourceId": {"Ref": path},
            "HttpMethod": verb,
            "AuthorizationType": "AWS_IAM",
            "RequestParameters": parameters,
            "MethodResponses": [{"StatusCode": status} for status in statuses],
            "Integration": integration,
        },
    )


def _integration(names: Names, templates: Json, otherwise: str) -> Json:
    invoke = f"runtime.sagemaker:path/endpoints/{names.endpoint}/invocations"
    return {
        "Type": "AWS",
        "IntegrationHttpMethod": "POST",
        "Uri": f"arn:{names.partition}:apigateway:{names.region}:{invoke}",
        "Credentials": {"Fn::GetAtt": ["ApiRole", "Arn"]},
        "PassthroughBehavior": otherwise,
        "RequestTemplates": templates,
        "RequestParameters": {"integration.request.header.Content-Type": f"'{_JSON}'"},
        "IntegrationResponses": [
            {"StatusCode": "200"},
            {"StatusCode": "424", "SelectionPattern": "424", "ResponseTemplates": {_JSON: REFUSAL}},
            {"StatusCode": "503", "SelectionPattern": r"(4(?!24)|5)\d{2}", "ResponseTemplates": {_JSON: UNREACHED}},
        ],
    }


def _stage(deployment: str, tags: list[dict[str, str]]) -> Json:
    limits = {"ThrottlingRateLimit": _REQUESTS_A_SECOND, "ThrottlingBurstLimit": _BURST, "MetricsEnabled": True}
    return {
        "RestApiId": {"Ref": "Api"},
        "DeploymentId": {"Ref": deployment},
        "StageName": STAGE,
        "MethodSettings": [{"ResourcePath": "/*", "HttpMethod": "*", **limits}],
        "Tags": tags,
    }
