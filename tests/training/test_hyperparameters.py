import pytest
from click.testing import CliRunner
from msgspec.structs import fields

from autopilot.training.command import train
from autopilot.training.hyperparameters import HyperparameterError, Hyperparameters, described, parse_hyperparameters


@pytest.mark.parametrize(
    ("name", "spelling", "value"),
    [
        pytest.param("anneal_lr", "True", True, id="SDK 2 sends truth with a capital"),
        pytest.param("anneal_lr", "false", False, id="SDK 3 sends it in small letters"),
        pytest.param("anneal_lr", '"FALSE"', False, id="quoted, in capitals"),
        pytest.param("anneal_lr", False, False, id="a JSON truth value"),
        pytest.param("algorithm", '"ppo"', "ppo", id="tuning jobs quote strings"),
        pytest.param("algorithm", "PPO", "ppo", id="a choice in capitals"),
        pytest.param("seed", "7", 7, id="a whole number"),
        pytest.param("seed", "7.0", 7, id="a whole number as a decimal"),
        pytest.param("seed", 7, 7, id="a JSON number"),
        pytest.param("gamma", "5e-1", 0.5, id="an exponent"),
        pytest.param("gamma", " 0.5 ", 0.5, id="blanks around"),
        pytest.param("seed", "7e1", 70, id="a whole number with an exponent"),
        pytest.param("anneal_lr", "off", False, id="a truth value in words"),
        pytest.param("hidden", "32,16", "32,16", id="text"),
    ],
)
def test_every_spelling_is_understood(name, spelling, value):
    assert getattr(parse_hyperparameters({name: spelling}), name) == value


@pytest.mark.parametrize(
    ("given", "said"),
    [
        pytest.param({"leaning_rate": "1"}, "did you mean 'learning_rate'", id="a slip of the pen"),
        pytest.param({"zzz": "1"}, "known are environment, algorithm", id="nothing like it"),
        pytest.param({"gamma": "1.5"}, "gamma must be a finite number, 0 to 1", id="above its bounds"),
        pytest.param({"fleets": "0"}, "fleets must be a whole number, at least 1", id="below its bounds"),
        pytest.param({"seed": "1.5"}, "seed must be a whole number", id="a fraction"),
        pytest.param({"seed": "nan"}, "seed must be a whole number, 0 to", id="not a number"),
        pytest.param({"gamma": "half"}, "gamma must be a finite number, 0 to 1", id="a word"),
        pytest.param({"anneal_lr": "maybe"}, "anneal_lr must be true or false", id="neither true nor false"),
        pytest.param({"algorithm": "dqn"}, "one of forecast, linear, ppo", id="an unknown choice"),
        pytest.param(
            {"over_prov_factor": "-1"}, "over_prov_factor must be a finite number, at least 0", id="it only penalises"
        ),
        pytest.param({"hidden": "64;64"}, "hidden must be sizes", id="layers in another form"),
        pytest.param({"hidden": "0"}, "1 to 1024 units", id="a layer without units"),
        pytest.param({"head_hidden": "64,"}, "head_hidden must be sizes", id="a layer of no size"),
        pytest.param({"lead_minutes_min": "20"}, "must not be above", id="the shortest lead above the longest"),
        pytest.param({"name": "a@b"}, "no @", id="a name that looks like a version"),
        pytest.param({"name": "a\nb"}, "printable", id="a name of two lines"),
        pytest.param({"name": "\ud800"}, "printable", id="a name that no file can hold"),
        pytest.param({"lead_minutes_max": "1e9"}, "1e-12 to 720", id="a lead that no memory can hold"),
        pytest.param({"EPOCHS": "3"}, "did you mean 'epochs'", id="a name in capitals"),
        pytest.param({"log_std": "inf"}, "log_std must be a finite number", id="without an end"),
        pytest.param({"algorithm": "\ud800"}, "one of forecast, linear, ppo", id="a choice that is no text"),
        pytest.param({"gamma": "\ud800"}, "gamma must be a finite number", id="a number that is no text"),
        pytest.param({"seed": None}, "seed must be a whole number", id="a JSON null"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(given, said):
    with pytest.raises(HyperparameterError, match=said):
        parse_hyperparameters(given)


@pytest.mark.parametrize("name", ["sagemaker_program", "_tuning_objective_metric"])
def test_names_of_the_sdk_and_of_tuning_jobs_are_ignored(name):
    assert parse_hyperparameters({name: '"x"'}) == Hyperparameters()


def test_layers_are_whole_numbers():
    assert parse_hyperparameters({"hidden": "8, 4"}).layers == (8, 4)


def test_every_hyperparameter_is_described_with_its_default():
    assert ("missing_weight", "5.0", "Cost of one missing server-minute.") in described()
    assert [name for name, _, meaning in described() if meaning] == [one.name for one in fields(Hyperparameters)]


def test_the_defaults_of_services_are_told_too():
    assert next(default for name, default, _ in described() if name == "gamma") == "0.8 (service: 0.9)"


def test_the_help_teaches_every_hyperparameter():
    page = CliRunner().invoke(train, ["--help"]).output
    assert all(f"\n  {one.name}=" in page for one in fields(Hyperparameters))
