"""A kubeconfig file: the proxy, the name in the certificate, a token that is renewed, and what cannot be used."""

import ssl
import subprocess
from base64 import b64encode
from typing import Any

import pytest
import yaml

from autopilot_client.kube.api import Kube, TokenFile
from autopilot_client.kube.kubeconfig import from_kubeconfig
from autopilot_client.ports import KubeUnavailableError
from tests.client.test_net import echoing

PATH = "/api/v1/namespaces/games/pods"


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "REQUEST_METHOD"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def written(tmp_path):
    """Writes a kubeconfig file of one cluster and one user."""

    def write(server: str, cluster: dict[str, Any] | None = None, user: dict[str, Any] | None = None) -> str:
        document = {
            "clusters": [{"name": "c", "cluster": {"server": server} | (cluster or {})}],
            "users": [{"name": "u", "user": user or {}}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
        }
        (tmp_path / "config").write_text(yaml.safe_dump(document))
        return str(tmp_path / "config")

    return write


def get(path: str) -> bytes:
    return Kube(from_kubeconfig(path), "games", 30.0, 30.0).get(PATH)


def test_the_proxy_of_the_file_is_asked_with_its_password(written):
    with echoing() as (proxy, seen):
        get(written("http://api.example:8001", {"proxy-url": f"http://us%40er:pa%3Ass@{proxy}"}))
    path, headers = seen[0]
    assert path == f"http://api.example:8001{PATH}"
    assert headers["proxy-authorization"] == f"Basic {b64encode(b'us@er:pa:ss').decode()}"


def test_the_proxy_of_the_environment_is_asked_but_not_for_what_no_proxy_excepts(written, monkeypatch):
    with echoing() as (proxy, seen):
        monkeypatch.setenv("HTTP_PROXY", f"http://{proxy}")
        get(written("http://10.96.0.1"))
        monkeypatch.setenv("NO_PROXY", "10.96.0.0/12")
        assert from_kubeconfig(written("http://10.96.0.1")).pool.proxy is None
    assert [path for path, _ in seen] == [f"http://10.96.0.1{PATH}"]


@pytest.fixture
def named(tmp_path):
    """The server's side of a certificate for a name that leads nowhere."""
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", "2", "-subj", "/CN=own", "-addext", "subjectAltName=DNS:api.example"]
    subprocess.run([*command, "-keyout", "key", "-out", "crt"], cwd=tmp_path, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "crt", tmp_path / "key")
    return context


def test_the_certificate_may_be_of_another_name_where_the_file_says_so_and_only_of_that(written, named):
    with echoing(named) as (server, seen):
        cluster = {"certificate-authority": "crt"}
        get(written(f"https://{server}", cluster | {"tls-server-name": "api.example"}))
        for name in ({}, {"tls-server-name": "other.example"}):
            with pytest.raises(KubeUnavailableError, match="certificate"):
                get(written(f"https://{server}", cluster | name))
    assert len(seen) == 1


def test_a_token_that_is_renewed_in_its_file_is_sent_and_while_it_is_away_the_last_one(written, tmp_path):
    token = tmp_path / "token"
    token.write_text("first\n")
    with echoing() as (server, seen):
        kube = Kube(from_kubeconfig(written(f"http://{server}", user={"tokenFile": "token"})), "games", 30.0, 30.0)
        for renew in (lambda: None, lambda: token.write_text("second"), lambda: token.write_text(""), token.unlink):
            renew()
            kube.get(PATH)
    sent = [headers["Authorization"] for _, headers in seen]
    assert sent == ["Bearer first", "Bearer second", "Bearer second", "Bearer second"]


@pytest.mark.parametrize("content", [None, b"", b"\xff", b"two\nlines"])
def test_without_a_token_nothing_is_sent(tmp_path, content):
    if content is not None:
        (tmp_path / "token").write_bytes(content)
    with pytest.raises(KubeUnavailableError, match="no token is in it"):
        TokenFile(tmp_path / "token")()


PLUGIN = {"command": "no-such-aws", "apiVersion": "client.authentication.k8s.io/v1"}
REFUSED = {
    "a proxy by SOCKS": ({"proxy-url": "socks5://u:secret@p:1080"}, {}, "p:1080 is no proxy by http or https"),
    "a plugin that is not installed": ({}, {"exec": PLUGIN}, "no-such-aws gave no credentials; is it installed here"),
    "a token file that is not there": ({}, {"tokenFile": "none"}, "No such file"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_used_is_refused_in_words(written, case):
    cluster, user, words = REFUSED[case]
    with pytest.raises(KubeUnavailableError, match=words) as refused:
        from_kubeconfig(written("https://10.96.0.1", cluster, user))
    assert "secret" not in str(refused.value)
