"""The environment is read once: every variable is checked, and what is wrong is named with its remedy."""

import pytest

from autopilot.core.guardrail import GuardrailRules, Override
from autopilot.core.hold_rules import HoldRules
from autopilot.settings import Settings, SettingsError


def test_an_empty_environment_gives_the_documented_defaults():
    settings = Settings.from_env({})
    assert settings.sagemaker_bind_to_port == 8080
    assert settings.history_place() == ("sqlite", "/tmp/autopilot/history.sqlite3")
    assert settings.guardrail_rules() == GuardrailRules()
    assert settings.events() == ()
    assert settings.writes_history


def test_strings_become_what_they_stand_for():
    settings = Settings.from_env({
        "MODEL_SERVER_WORKERS": " 3 ", "SAGEMAKER_BATCH": "True", "AUTOPILOT_MAX_STEP_UP": "0.5",
        "AUTOPILOT_HISTORY": "dynamodb://latest_observations", "AUTOPILOT_HOLD_MINUTES": "60",
        "AUTOPILOT_MAX_STEP_DOWN": "", "PATH": "/bin",
    })  # fmt: skip
    assert settings.model_server_workers == 3
    assert not settings.writes_history
    assert settings.history_place() == ("dynamodb", "latest_observations")
    assert settings.guardrail_rules() == GuardrailRules(HoldRules(60.0), 0.5, None)


def test_a_shadow_variant_does_not_write():
    assert not Settings.from_env({"AUTOPILOT_HISTORY_MODE": "read-only"}).writes_history


@pytest.mark.parametrize(
    ("environ", "says"),
    [
        ({"AUTOPILOT_HISTROY": "off"}, "did you mean AUTOPILOT_HISTORY?"),
        ({"AUTOPILOT_ZZZ": "1"}, "`settings` lists"),
        ({"MODEL_SERVER_WORKERS": "many"}, "MODEL_SERVER_WORKERS"),
        ({"MODEL_SERVER_WORKERS": "0"}, "MODEL_SERVER_WORKERS"),
        ({"SAGEMAKER_BIND_TO_PORT": "70000"}, "SAGEMAKER_BIND_TO_PORT"),
        ({"AUTOPILOT_HISTORY": "sqlite:history.db"}, "sqlite:///PATH"),
        ({"AUTOPILOT_HISTORY": "dynamodb://"}, "dynamodb://TABLE"),
        ({"AUTOPILOT_HISTORY_MODE": "none"}, "AUTOPILOT_HISTORY_MODE"),
        ({"AUTOPILOT_MAX_STEP_DOWN": "2"}, "AUTOPILOT_MAX_STEP_DOWN"),
        ({"AUTOPILOT_MAX_STEP_UP": "inf"}, "AUTOPILOT_MAX_STEP_UP"),
        ({"AUTOPILOT_PORT": "9000"}, "AUTOPILOT_PORT is not a setting"),
        ({"GS_INVENTORY_URL": "matchmaker:9000/demand"}, "http://HOST/PATH"),
        ({"GS_INVENTORY_URL": "http:///demand"}, "http://HOST/PATH"),
        ({"GS_INVENTORY_URL": "http://matchmaker:90000/"}, "http://HOST/PATH"),
        ({"AUTOPILOT_SCHEDULE": "x"}, "AUTOPILOT_SCHEDULE"),
        ({"AUTOPILOT_SCHEDULE": '[{"start": "2026-12-01T17:00:00", "end": "2026-12-02T01:00:00Z", "min": 1}]'},
         "time zone"),
        ({"AUTOPILOT_SCHEDULE": '[{"start": "2026-12-03T17:00:00Z", "end": "2026-12-02T01:00:00Z", "min": 1}]'},
         "end must lie after start"),
        ({"AUTOPILOT_SCHEDULE": '[{"start": "2026-12-01T17:00:00Z", "end": "2026-12-02T01:00:00Z"}]'},
         "min, max or add"),
        ({"AUTOPILOT_SCHEDULE": '[{"start": "2026-12-01T17:00:00Z", "end": "2026-12-02T01:00:00Z", "minn": 1}]'},
         "minn"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_its_remedy(environ, says):
    with pytest.raises(SettingsError, match=says.replace("?", r"\?")):
        Settings.from_env(environ)


def test_what_kubernetes_says_of_a_service_called_autopilot_is_no_setting():
    linked = {
        "AUTOPILOT_SERVICE_HOST": "10.0.0.1", "AUTOPILOT_SERVICE_PORT": "8080", "AUTOPILOT_SERVICE_PORT_HTTP": "8080",
        "AUTOPILOT_PORT": "tcp://10.0.0.1:8080", "AUTOPILOT_PORT_8080_TCP": "tcp://10.0.0.1:8080",
        "AUTOPILOT_PORT_8080_TCP_PROTO": "tcp", "AUTOPILOT_PORT_8080_TCP_PORT": "8080",
        "AUTOPILOT_PORT_8080_TCP_ADDR": "10.0.0.1", "MODEL_SERVER_SERVICE_HOST": "10.0.0.2",
    }  # fmt: skip
    assert Settings.from_env(linked) == Settings.from_env({})


def test_an_inventory_may_be_any_http_address():
    for url in ("http://matchmaker:9000/{fleet}", "https://user:word@m.example/demand?token=x", "http://[::1]:80/"):
        assert Settings.from_env({"GS_INVENTORY_URL": url}).gs_inventory_url == url


def test_a_schedule_becomes_events():
    schedule = (
        '[{"fleet": "us-*/shooter", "start": "2026-12-01T17:00:00+01:00", "end": "2026-12-02T01:00:00Z", "min": 200}]'
    )
    (event,) = Settings.from_env({"AUTOPILOT_SCHEDULE": schedule}).events()
    assert event.override == Override(minimum=200)
    assert event.covers("us-west-2/shooter", 1_796_140_800)  # 16:00 UTC, its first second
    assert not event.covers("us-west-2/shooter", 1_796_140_799)
    assert not event.covers("eu-west-1/shooter", 1_796_140_800)


@pytest.mark.parametrize(("text", "lead"), [("12", (12, 12)), ("10-15", (10, 15)), (" 2.5 - 60 ", (2.5, 60))])
def test_a_lead_is_a_number_or_a_range(text, lead):
    assert Settings.from_env({"AUTOPILOT_LEAD_MINUTES": text}).lead() == lead


@pytest.mark.parametrize("text", ["0", "-5", "1440", "15-10", "10-", "soon", "nan", "10-15-20"])
def test_a_lead_that_no_fleet_has_is_refused_by_name(text):
    with pytest.raises(SettingsError, match="AUTOPILOT_LEAD_MINUTES: "):
        Settings.from_env({"AUTOPILOT_LEAD_MINUTES": text})


@pytest.mark.parametrize("text", ["0", "nan", "21", "x"])
def test_a_price_that_no_server_has_is_refused_by_name(text):
    with pytest.raises(SettingsError, match="AUTOPILOT_MISSING_PRICE"):
        Settings.from_env({"AUTOPILOT_MISSING_PRICE": text})
