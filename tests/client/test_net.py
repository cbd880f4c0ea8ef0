"""The one HTTP client: how it shows who asks, whom it trusts, which proxy it takes, and that an exchange has an end."""

import base64
import ssl
import subprocess
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from autopilot_client.net.access import NOBODY, Access
from autopilot_client.net.fetch import Call, FetchError, fetch
from autopilot_client.net.proxies import excepted, proxy_of
from autopilot_client.net.sign import SignError, signed


@contextmanager
def echoing(context: ssl.SSLContext | None = None):
    """A server that keeps what it was asked; yields its address and what came."""
    seen = []

    class Requests(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            seen.append((self.path, dict(self.headers.items())))
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        do_POST = do_GET  # noqa: N815

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Requests)
    server.daemon_threads = True
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}", seen
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def call(url: str, access: Access = NOBODY, body: bytes | None = None) -> Call:
    return Call(url, 30.0, 30.0, body, access)


@pytest.fixture
def password(tmp_path):
    (tmp_path / "password").write_text("pa:ss w\n")
    return str(tmp_path / "password")


def basic(pair: str) -> str:
    return f"Basic {base64.b64encode(pair.encode()).decode()}"


def test_a_user_and_a_password_of_the_address_are_sent_and_not_dropped():
    with echoing() as (host, seen):
        fetch(call(f"http://us%40er:p%2Fw@{host}/api/v1/query?query=up"))
    path, headers = seen[0]
    assert (path, headers["Authorization"]) == ("/api/v1/query?query=up", basic("us@er:p/w"))
    assert "@" not in headers["Host"]


def test_a_password_file_and_headers_are_sent(password):
    access = Access(username="grafana", password_file=password, headers=(("X-Scope-OrgID", "games"),))
    with echoing() as (host, seen):
        fetch(call(f"http://{host}/", access))
    headers = seen[0][1]
    assert (headers["Authorization"], headers["X-Scope-OrgID"]) == (basic("grafana:pa:ss w"), "games")


def test_a_body_is_posted_as_json():
    with echoing() as (host, seen):
        fetch(call(f"http://{host}/invocations", body=b"{}"))
    assert seen[0][1]["Content-Type"] == "application/json"


def test_a_missing_password_file_is_named_and_nothing_is_sent(tmp_path):
    with echoing() as (host, seen), pytest.raises(FetchError, match="none: No such file"):
        fetch(call(f"http://{host}/", Access(username="a", password_file=str(tmp_path / "none"))))
    assert seen == []


@pytest.fixture
def authority(tmp_path):
    """A certificate of our own for 127.0.0.1, and the server's side of it."""
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", "2", "-subj", "/CN=own", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*command, "-keyout", "key", "-out", "crt"], cwd=tmp_path, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "crt", tmp_path / "key")
    return str(tmp_path / "crt"), context


def test_an_authority_of_ones_own_is_trusted_where_it_is_named_and_only_there(authority):
    ca_file, context = authority
    with echoing(context) as (host, seen):
        assert fetch(call(f"https://{host}/", Access(ca_file=ca_file))) == b"{}"
        with pytest.raises(FetchError, match="certificate"):
            fetch(call(f"https://{host}/"))
    assert len(seen) == 1


def test_a_missing_authority_is_said(tmp_path):
    with pytest.raises(FetchError, match="No such file"):
        fetch(call("https://127.0.0.1:1/", Access(ca_file=str(tmp_path / "none"))))


@pytest.fixture
def keys(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")


def test_a_request_for_amazon_managed_prometheus_is_signed(keys):
    access = Access(sign=("us-west-2", "aps"))
    with echoing() as (host, seen):
        fetch(call(f"http://{host}/workspaces/ws/api/v1/query?query=up", access))
    headers = seen[0][1]
    assert headers["Authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/")
    assert "/us-west-2/aps/aws4_request" in headers["Authorization"]
    assert "X-Amz-Date" in headers
    assert "wJalr" not in str(headers)


class NoCredentials:
    def get_credentials(self):
        return None


def test_without_credentials_nothing_is_signed_and_the_remedy_is_said():
    with pytest.raises(SignError, match="give the ServiceAccount a role"):
        signed(Access(sign=("us-west-2", "aps")), ("GET", "http://a/", None), {}, NoCredentials())


def test_the_proxy_of_the_environment_is_asked(monkeypatch):
    with echoing() as (proxy, seen):
        monkeypatch.setenv("HTTP_PROXY", f"http://{proxy}")
        monkeypatch.setenv("NO_PROXY", "localhost")
        fetch(call("http://matchmaker.example/demand?a=b"))
    assert seen[0][0] == "http://matchmaker.example/demand?a=b"


@pytest.mark.parametrize(
    ("url", "proxy"),
    [
        ("http://mm.example/", "http://p:1"),
        ("https://mm.example/", "http://p:2"),
        ("http://autopilot.games.svc:8080/", None),
        ("http://u:p@10.0.0.1:9090/", None),
        ("http://mm.internal/", None),
    ],
)
def test_no_proxy_counts(monkeypatch, url, proxy):
    for name in ("http_proxy", "https_proxy", "no_proxy", "REQUEST_METHOD"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTP_PROXY", "http://p:1")
    monkeypatch.setenv("HTTPS_PROXY", "http://p:2")
    monkeypatch.setenv("NO_PROXY", ".svc,10.0.0.1,.internal")
    assert proxy_of(url) == proxy


@pytest.mark.parametrize(
    ("no_proxy", "host", "expected"),
    [
        pytest.param("10.96.0.0/12", "10.100.3.4", True, id="a network"),
        pytest.param("10.96.0.0/12", "10.112.0.1", False, id="beside the network"),
        pytest.param("10.96.0.0/12", "10.96.0.1.example", False, id="a name that begins like an address"),
        pytest.param("fd00::/8", "fd12::1", True, id="a network of IPv6"),
        pytest.param("fd00::/8", "10.0.0.1", False, id="an address of the other family"),
        pytest.param("10.0.0.1", "10.0.0.1", True, id="an address"),
        pytest.param("10.0.0.1:443", "10.0.0.1", True, id="an address and its port"),
        pytest.param("10.0.0.1:80", "10.0.0.1", False, id="an address and another port"),
        pytest.param("[fd00::1]:443", "fd00::1", True, id="an address of IPv6 and its port"),
        pytest.param("mm.example", "mm.example", True, id="a name"),
        pytest.param("mm.example", "a.mm.example", True, id="a name below it"),
        pytest.param("mm.example", "amm.example", False, id="a name that only ends so"),
        pytest.param(".svc", "autopilot.games.svc", True, id="all below a name"),
        pytest.param(".mm.example", "mm.example", False, id="but not itself"),
        pytest.param("*.mm.example", "a.mm.example", True, id="written with a star"),
        pytest.param("MM.example", "mm.Example.", True, id="capitals, and a dot at the end"),
        pytest.param("mm.example:8443", "mm.example", False, id="a name and another port"),
        pytest.param(" a , mm.example ,", "mm.example", True, id="spaces and an empty entry"),
        pytest.param("*", "anything.example", True, id="everything"),
        pytest.param("10.0.0.0/99", "10.0.0.1", False, id="a network that is none"),
        pytest.param("", "mm.example", False, id="nothing"),
        pytest.param("", "localhost", True, id="the host itself"),
        pytest.param("", "127.0.0.9", True, id="its address"),
        pytest.param("", "::1", True, id="its address of IPv6"),
    ],
)
def test_what_no_proxy_excepts(no_proxy, host, expected):
    assert excepted(host, 443, no_proxy) == expected


@pytest.mark.parametrize(
    "url", ["http://", "http://[::1", "http://127.0.0.1:99999/", "http://127.0.0.1:1/", "ftp://a/"]
)
def test_whatever_the_address_the_error_is_ours(url):
    with pytest.raises(FetchError):
        fetch(call(url))
