"""The search space of a job, and the trials that a seed draws of it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autopilot.training.hyperparameters import HyperparameterError, parse_hyperparameters
from autopilot.training.search import SEARCHED, search_of

SPACE = {
    "learning_rate": {"min": 0.0001, "max": 0.01, "log": True},
    "weight_decay": {"min": 0, "max": 0.3},
    "epochs": {"min": 2, "max": 4},
    "hidden": ["64,64", "32"],
}


def search(space=None, trials=5, **hparams):
    given = {"search": space if isinstance(space, str) else json.dumps(space)} if space is not None else {}
    return search_of(parse_hyperparameters(hparams | given | {"trials": str(trials)}))


def test_without_a_space_trials_differ_in_their_seed():
    found = search(trials=3, seed="7")
    assert [found.differences(at) for at in range(3)] == [{"seed": 7}, {"seed": 8}, {"seed": 9}]


def test_the_first_trial_is_what_was_said():
    alone = parse_hyperparameters({"learning_rate": "0.5", "seed": "7"})
    assert search(SPACE, learning_rate="0.5", seed="7").trials[0] == alone


ASKED = {
    "nothing": {},
    "how much is learned": {"fleets": "200", "epochs": "7", "forecast_epochs": "1"},
    "what is varied as well": {"learning_rate": "0.5", "hidden": "16", "seed": "4"},
    "another algorithm": {"algorithm": "ppo", "name": "mine"},
}


@pytest.mark.parametrize("asked", ASKED.values(), ids=ASKED.keys())
def test_what_differs_and_what_was_asked_for_make_the_trial_again(asked):
    found = search({"learning_rate": SPACE["learning_rate"]}, trials=3, **asked)
    for at, trial in enumerate(found.trials):
        said = {name: str(value) for name, value in {**found.differences(at), **found.shared}.items()}
        assert parse_hyperparameters(said) == trial


def test_members_of_ensembles_have_seeds_of_their_own():
    assert [one.seed for one in search(trials=3, ensemble="4").trials] == [1, 5, 9]


def test_a_seed_after_the_last_begins_anew():
    assert [one.seed for one in search(trials=2, seed=str(2**31 - 1)).trials] == [2**31 - 1, 0]


def test_more_trials_are_the_same_and_some_more():
    assert search(SPACE, trials=9).trials[:5] == search(SPACE, trials=5).trials


def test_another_seed_draws_other_trials():
    assert search(SPACE, seed="2").trials[1].learning_rate != search(SPACE, seed="1").trials[1].learning_rate


def test_one_trial_is_no_search():
    assert search(trials=1).trials == (parse_hyperparameters({}),)


@given(seed=st.integers(0, 2**31 - 1))
def test_what_is_drawn_is_within_its_bounds_and_can_be_typed(seed):
    for trial in search(SPACE, trials=8, seed=str(seed)).trials[1:]:
        assert 0.0001 <= trial.learning_rate <= 0.01
        assert float(f"{trial.learning_rate:.6g}") == trial.learning_rate
        assert 0 <= trial.weight_decay <= 0.3
        assert trial.epochs in {2, 3, 4}
        assert trial.hidden in {"64,64", "32"}


def test_all_values_are_drawn():
    drawn = search(SPACE, trials=60).trials[1:]
    assert {(one.epochs, one.hidden) for one in drawn} == {(e, h) for e in (2, 3, 4) for h in ("64,64", "32")}
    assert min(one.learning_rate for one in drawn) < 0.0005
    assert max(one.learning_rate for one in drawn) > 0.005


@pytest.mark.parametrize("algorithm", SEARCHED)
def test_all_that_may_vary_is_a_hyperparameter(algorithm):
    alone = parse_hyperparameters({"algorithm": algorithm})
    space = {name: [getattr(alone, name)] for name in SEARCHED[algorithm]}
    assert search(space, algorithm=algorithm, trials=2).trials[1] == alone


BAD = {
    "no JSON": ("{", {}, "search must be a JSON object such as"),
    "a list": ("[1]", {}, "search must be a JSON object such as"),
    "half a letter": ("\ud800", {}, "search must be a JSON object such as"),
    "a slip of the pen": ({"lerning_rate": [1]}, {}, "search: unknown hyperparameter 'lerning_rate': did you mean"),
    "what they are judged by": ({"verdict_share": [0.5]}, {}, "search: 'verdict_share' cannot vary; with algorithm="),
    "what another algorithm has": ({"gamma": [0.5]}, {}, "search: 'gamma' cannot vary; with algorithm=forecast can"),
    "and the other way": ({"epochs": [5]}, {"algorithm": "ppo"}, "search: 'epochs' cannot vary; with algorithm=ppo"),
    "no values": ({"epochs": []}, {}, "search: epochs must have 1 to 1000 values, not 0"),
    "many values": ({"epochs": [1] * 1001}, {}, "search: epochs must have 1 to 1000 values, not 1001"),
    "one value": ({"epochs": 3}, {}, "search: epochs takes a list of values, or an object"),
    "a value that is none": ({"epochs": [None]}, {}, "search: epochs takes a list of values, or an object"),
    "a value out of bounds": ({"epochs": [0]}, {}, "search: epochs must be a whole number, at least 1, not '0'"),
    "a bound out of bounds": ({"epochs": {"min": 0, "max": 4}}, {}, "search: epochs must be a whole number"),
    "half a bound": ({"epochs": {"min": 1.5, "max": 4}}, {}, "search: epochs must be a whole number"),
    "one bound": ({"epochs": {"min": 1}}, {}, "missing required field `max`"),
    "a step": ({"epochs": {"min": 1, "max": 3, "step": 1}}, {}, "unknown field `step`"),
    "bounds without end": ('{"epochs": {"min": 1, "max": 1e999}}', {}, "search: epochs takes a list"),
    "the wrong way round": ({"epochs": {"min": 3, "max": 1}}, {}, "search: epochs needs a min below its max"),
    "bounds of a text": ({"hidden": {"min": 1, "max": 2}}, {}, "search: hidden is no number: give a list of values"),
    "bounds of a truth": (
        {"anneal_lr": {"min": 0, "max": 1}}, {"algorithm": "ppo"}, "search: anneal_lr must be true or false"
    ),
    "the logarithm of nothing": (
        {"learning_rate": {"min": 0, "max": 1, "log": True}}, {}, "search: learning_rate needs a min above 0 where log"
    ),
    "depths": (f'{{"epochs": {"[" * 100_000}{"]" * 100_000}}}', {}, "search must be a JSON object such as"),
    "no layers": ({"hidden": ["x"]}, {}, "search: hidden must be sizes like 64,64,64, not 'x'"),
}  # fmt: skip


@pytest.mark.parametrize(("space", "hparams", "said"), BAD.values(), ids=BAD.keys())
def test_a_bad_space_is_refused_by_name(space, hparams, said):
    with pytest.raises(HyperparameterError) as raised:
        search(space, trials=20, **hparams)
    assert said in str(raised.value)


TOGETHER = {
    "a space for one trial": ({"search": "{}"}, "search and scheduler are for several trials: give trials"),
    "ASHA for one trial": ({"scheduler": "asha", "engine": "ray"}, "search and scheduler are for several trials"),
    "a model for each fleet": ({"trials": "2", "models": "each"}, "trials is for environment=fleet, models=one"),
    "a web service": ({"trials": "2", "environment": "service"}, "trials is for environment=fleet, models=one"),
    "a live source": ({"trials": "2", "gs_inventory_url": "http://a"}, "no live source (gs_inventory_url)"),
    "what is solved": ({"trials": "2", "algorithm": "linear"}, "trials is for algorithm=forecast or ppo"),
    "ASHA without Ray": ({"trials": "2", "scheduler": "asha"}, "scheduler=asha is Ray Tune's: it needs engine=ray"),
    "none": ({"trials": "0"}, "trials must be a whole number, 1 to 1000"),
    "too many": ({"trials": "1001"}, "trials must be a whole number, 1 to 1000"),
}


@pytest.mark.parametrize(("hparams", "said"), TOGETHER.values(), ids=TOGETHER.keys())
def test_what_does_not_go_together_is_refused(hparams, said):
    with pytest.raises(HyperparameterError) as raised:
        parse_hyperparameters(hparams)
    assert said in str(raised.value)
