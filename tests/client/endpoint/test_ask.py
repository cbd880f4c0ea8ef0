"""Asking the endpoint, over http and through boto3, on real servers: who repeats, how often, what is refused."""

import json
import socket
import threading

import boto3
import pytest
from botocore.config import Config as BotoConfig

from autopilot_client.config.document import Endpoint as Settings
from autopilot_client.endpoint.http import HttpEndpoint
from autopilot_client.endpoint.sagemaker import SageMakerEndpoint, runtime
from autopilot_client.ports import EndpointUnavailableError
from testkit.client.standins import EndpointStandIn, as_json, serving, wait_until

INSTANCES = [{"fleet": "a", "demand": 10}, {"fleet": "b", "demand": 20}]


@pytest.fixture(autouse=True)
def _credentials(monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")


@pytest.fixture(params=["http", "sagemaker"])
def ask(request):
    """A way to ask a handler: over http, or as SageMaker passes the container's answers on."""
    clients = []

    def over(url, **settings):
        if request.param == "http":
            return HttpEndpoint(Settings(url=url, **settings), wait_seconds=0)
        named = Settings(sagemaker="autopilot", sagemaker_url=url, region="us-west-2", **settings)
        clients.append(runtime(named))
        return SageMakerEndpoint(clients[-1], named, wait_seconds=0)

    over.wraps = (lambda handler: handler) if request.param == "http" else platform
    yield over
    for client in clients:
        client.close()


def platform(handler):
    """What SageMaker makes of a container: its errors become 424 ModelError with the original status."""

    def answer(method, path, body):
        status, reply = handler(method, path, body)
        if status == 200:
            return status, reply
        document = {"OriginalStatusCode": status, "OriginalMessage": "x", "Message": "x"}
        return 424, json.dumps(document | {"__type": "ModelError"}).encode()

    return answer


def sizes(elements):
    return [element["Prediction"]["num_of_gameservers"] for element in elements]


def test_all_fleets_are_asked_for_in_one_call(ask):
    endpoint = EndpointStandIn()
    with serving(ask.wraps(endpoint)) as url:
        assert sizes(ask(url).ask(INSTANCES)) == [12, 24]
    assert endpoint.hits == 1


def test_a_container_that_says_not_now_is_asked_again(ask):
    endpoint = EndpointStandIn(passing=1)
    with serving(ask.wraps(endpoint)) as url:
        assert sizes(ask(url).ask(INSTANCES)) == [12, 24]
    assert endpoint.hits == 2


def test_attempts_have_an_end(ask):
    endpoint = EndpointStandIn(mode="503")
    with serving(ask.wraps(endpoint)) as url, pytest.raises(EndpointUnavailableError):
        ask(url, attempts=3).ask(INSTANCES)
    assert endpoint.hits == 3


def test_a_callers_mistake_is_not_repeated(ask):
    hits = []
    handler = ask.wraps(lambda *_: hits.append(1) or as_json({"error": {"code": "json"}}, 400))
    with serving(handler) as url, pytest.raises(EndpointUnavailableError):
        ask(url).ask(INSTANCES)
    assert len(hits) == 1


@pytest.mark.parametrize("mode", ["html", "empty", "short"])
def test_a_reply_that_is_no_list_of_predictions_is_refused_as_a_whole(ask, mode):
    with serving(ask.wraps(EndpointStandIn(mode=mode))) as url, pytest.raises(EndpointUnavailableError):
        ask(url).ask(INSTANCES)


def test_a_slow_endpoint_is_given_up_after_its_time(ask):
    endpoint = EndpointStandIn(mode="slow")
    with serving(ask.wraps(endpoint)) as url:
        with pytest.raises(EndpointUnavailableError):  # whoever waited for it would get an answer
            ask(url, read_seconds=0.2, attempts=1).ask(INSTANCES)
        endpoint.release.set()


def test_an_endpoint_that_is_gone_is_unavailable(ask):
    with serving(EndpointStandIn()) as url:
        pass
    with pytest.raises(EndpointUnavailableError):
        ask(url, attempts=1).ask(INSTANCES)


def test_without_credentials_the_endpoint_is_unavailable():
    client = boto3.client(
        "sagemaker-runtime",
        region_name="us-west-2",
        aws_access_key_id="",
        aws_secret_access_key="",
        config=BotoConfig(connect_timeout=1, retries={"total_max_attempts": 1}),
        endpoint_url="http://127.0.0.1:9",
    )
    with pytest.raises(EndpointUnavailableError):
        SageMakerEndpoint(client, Settings(sagemaker="a", attempts=1)).ask(INSTANCES)
    client.close()


def test_fetching_credentials_has_an_end_too(monkeypatch, tmp_path):
    """IRSA: the exchange of the pod's token is given up like a call of the endpoint, not after five minutes."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    (tmp_path / "token").write_text("token")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))
    monkeypatch.setattr(
        "autopilot_client.net.aws.CREDENTIALS", {"read_timeout": 0.2, "retries": {"total_max_attempts": 2}}
    )
    monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::111122223333:role/autopilot-client")
    exchanges, release = [], threading.Event()

    def silent(method, path, body):
        exchanges.append(body)
        release.wait(60)
        return 503, b""

    with serving(silent) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", url)
        named = Settings(sagemaker="autopilot", region="us-west-2", read_seconds=0.2, attempts=2)
        client = runtime(named)
        with pytest.raises(EndpointUnavailableError):
            SageMakerEndpoint(client, named, wait_seconds=0).ask(INSTANCES)
        client.close()
        wait_until(lambda: exchanges)
        release.set()
    assert len(exchanges) <= 2 * 2


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", id="the body drips"),
        pytest.param(b"HTTP/1.1 200 OK\r\nX-Long: ", id="the head drips"),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", id="a chunk's size drips"),
    ],
)
def test_an_answer_that_drips_does_not_hold_the_loop(head):
    """Each byte comes in time, the whole never does."""
    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def drip():
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(head)
                while not stop.wait(0.05):
                    try:
                        connection.sendall(b"0")
                    except OSError:
                        return

        thread = threading.Thread(target=drip)
        thread.start()
        settings = Settings(url=f"http://127.0.0.1:{listener.getsockname()[1]}", read_seconds=0.3, attempts=1)
        with pytest.raises(EndpointUnavailableError):
            HttpEndpoint(settings, 0).ask(INSTANCES)
        thread.join(30)
        held = thread.is_alive()
        stop.set()
        assert not held  # it went on dripping until the client left
