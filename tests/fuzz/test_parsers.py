"""Every parser, on generated inputs: taken or refused as documented. `bench/fuzz.py` does the same a million times."""

import logging

import pytest

from testkit.fuzz.parsers import PARSERS, Parser
from testkit.fuzz.trying import TrialOutcome, made, try_many, watchdog

SEED = 20261121
SLOW = {
    "requests decided together": 250,
    "requests on nginx's socket": 1000,
    "model archive": 600,
    "client: configuration": 150,
    "client: answers of others": 150,
    "whole request, headers too": 1500,
}


@pytest.fixture(autouse=True)
def _quiet():
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("parser", PARSERS, ids=lambda parser: parser.name)
def test_whatever_comes_in_is_taken_or_refused_as_promised(parser: Parser):
    outcome = TrialOutcome()
    with watchdog():
        try_many(parser, SEED, range(SLOW.get(parser.name, 2500)), outcome)
    assert not outcome.failures, next(iter(outcome.failures.values())).detail
    assert outcome.ends["ok"] > 0, "the generator has lost its way: it makes nothing that is taken"
    assert len(outcome.ends) > 1


@pytest.mark.parametrize("parser", PARSERS, ids=lambda parser: parser.name)
def test_an_input_is_the_same_for_the_same_seed_and_number(parser: Parser):
    assert [made(parser, 1, n) for n in range(20)] == [made(parser, 1, n) for n in range(20)]
    assert made(parser, 1, 1) != made(parser, 2, 1)
