"""The client's view of the endpoint: boto3, SageMaker's bounds and error forms, and the real server behind them."""

import json
import socket
import urllib.request
from contextlib import contextmanager

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from testkit.aws.real_server import serving
from testkit.aws.runtime_front import RequestBounds, runtime_front
from testkit.emulators import locked_moto

REGION = "us-west-2"
KEYS = {"aws_access_key_id": "emulator", "aws_secret_access_key": "emulator", "region_name": REGION}
ASKED = {
    "EndpointName": "autopilot",
    "ContentType": "application/json",
    "Body": b'{"fleet": "eu/racing", "demand": 40}',
}


@pytest.fixture(scope="module")
def account():
    with pytest.MonkeyPatch.context() as patch, locked_moto() as moto:
        patch.setenv("AWS_ACCESS_KEY_ID", "emulator")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "emulator")
        sagemaker = boto3.client("sagemaker", endpoint_url=moto, **KEYS)
        role = "arn:aws:iam::123456789012:role/theirs"
        sagemaker.create_model(ModelName="m", PrimaryContainer={"Image": "an:image"}, ExecutionRoleArn=role)
        variants = [
            {"VariantName": name, "ModelName": "m", "InstanceType": "ml.c5.large", "InitialInstanceCount": 1}
            for name in ("Blue", "Green")
        ]
        sagemaker.create_endpoint_config(EndpointConfigName="c", ProductionVariants=variants)
        sagemaker.create_endpoint(EndpointName="autopilot", EndpointConfigName="c")
        yield moto
        urllib.request.urlopen(f"{moto}/moto-api/reset", b"").close()  # the emulator lives as long as the process


@pytest.fixture(scope="module")
def server():
    with serving(AUTOPILOT_HISTORY="off") as url:
        yield url


@contextmanager
def runtime(server, account, bounds=None):
    with runtime_front(server, account, REGION, bounds) as front:
        config = Config(retries={"total_max_attempts": 1})
        yield boto3.client("sagemaker-runtime", endpoint_url=front, config=config, **KEYS)


def refused(client, **changed):
    with pytest.raises(ClientError) as caught:
        client.invoke_endpoint(**(ASKED | changed))
    return caught.value.response


def test_the_real_server_answers_and_the_platforms_headers_pass_both_ways(server, account):
    with runtime(server, account) as client:
        answer = client.invoke_endpoint(**ASKED, CustomAttributes="trace=17")
        assert json.loads(answer["Body"].read())["Prediction"]["num_of_gameservers"] >= 40
        assert answer["CustomAttributes"] == "trace=17"
        assert answer["InvokedProductionVariant"] == "Blue"
        assert client.invoke_endpoint(**ASKED, TargetVariant="Green")["InvokedProductionVariant"] == "Green"


def test_the_formats_that_are_asked_for_pass(server, account):
    with runtime(server, account) as client:
        asked = ASKED | {"Body": b"eu/racing,40\neu/chess,7\n", "ContentType": "text/csv", "Accept": "text/csv"}
        answer = client.invoke_endpoint(**asked)
        assert answer["ContentType"].startswith("text/csv")
        assert len(answer["Body"].read().splitlines()) == 2


def test_what_the_container_refuses_is_a_model_error_with_its_own_status_and_words(server, account):
    with runtime(server, account) as client:
        for body, kind, status, code in (
            (b'{"fleet": "eu/racing", "demand": -1}', "application/json", 400, "bad_value"),
            (b"x", "image/png", 415, "unsupported_media_type"),
        ):
            said = refused(client, Body=body, ContentType=kind)
            assert (said["Error"]["Code"], said["ResponseMetadata"]["HTTPStatusCode"]) == ("ModelError", 424)
            assert said["OriginalStatusCode"] == status
            assert json.loads(said["OriginalMessage"])["error"]["code"] == code


@pytest.mark.parametrize("changed", [{"EndpointName": "nobody"}, {"TargetVariant": "Red"}], ids=["name", "variant"])
def test_what_is_not_there_is_refused_before_the_container(server, account, changed):
    with runtime(server, account) as client:
        assert refused(client, **changed)["Error"]["Code"] == "ValidationError"


def test_a_body_at_the_bound_passes_and_one_byte_more_does_not(server, account):
    with runtime(server, account, RequestBounds(body=len(ASKED["Body"]))) as client:
        assert client.invoke_endpoint(**ASKED)["ResponseMetadata"]["HTTPStatusCode"] == 200
        assert refused(client, Body=ASKED["Body"] + b" ")["Error"]["Code"] == "ValidationError"


def test_a_container_that_is_silent_too_long_is_a_model_error(account):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with runtime(url, account, RequestBounds(seconds=0.2)) as client:
            said = refused(client)
    assert (said["Error"]["Code"], said["OriginalStatusCode"]) == ("ModelError", 0)
    assert "timed out" in said["OriginalMessage"]


def test_the_platforms_bounds_are_a_minute_and_25_megabytes():
    assert RequestBounds() == RequestBounds(seconds=60, body=26_214_400)
