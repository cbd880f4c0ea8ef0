"""Requests of few bytes that decode to much are refused before that, or within bounds; `bench/fuzz.py` does more."""

import logging

import pytest

from testkit.fuzz.inflated import BOUND, FORMS, weights


@pytest.fixture(autouse=True)
def _quiet():
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def test_what_a_request_decodes_to_is_bounded():
    found = weights(seed=20261121, requests=len(FORMS), most=200_000)
    assert {one.status for one in found} <= {200, 400, 413}
    assert max(one.peak for one in found) <= BOUND
