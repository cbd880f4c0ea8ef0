"""Decided together or alone, through the fast route or through Flask: the same answers. `bench/fuzz.py` does more."""

import logging

import pytest

from testkit.fuzz.differential import SETTINGS, differences


@pytest.fixture(autouse=True)
def _quiet():
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("environ", SETTINGS.values(), ids=SETTINGS.keys())
def test_batched_and_single_hot_and_slow_answer_alike(environ):
    assert differences(environ, seed=20261121, requests=1000) == []
