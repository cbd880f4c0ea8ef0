"""Requests that wait at the same moment are answered in one call, each with its own reply."""

import asyncio

import pytest

from autopilot.serve.batching import LARGEST_BATCH, Batcher
from autopilot.serve.messages import RawReply, RawRequest


class Echo:
    """Answers each call with its own body, and notes how many came at a time."""

    def __init__(self):
        self.batches: list[int] = []

    def answer(self, calls):
        self.batches.append(len(calls))
        return [RawReply(200, call.body, "text/plain") for call in calls]


async def added(batcher, number):
    answered = asyncio.get_running_loop().create_future()
    batcher.add(RawRequest({}, b"%d" % number), answered.set_result)
    return await answered


def asked_at_once(count, answer):
    async def ask():
        batcher = Batcher(answer)
        return await asyncio.gather(*(added(batcher, number) for number in range(count)))

    return asyncio.run(ask())


def test_what_waits_at_the_same_moment_is_one_batch_and_each_gets_its_own_reply():
    echo = Echo()
    assert [reply.body for reply in asked_at_once(7, echo.answer)] == [b"%d" % number for number in range(7)]
    assert echo.batches == [7]


def test_a_batch_has_a_largest_size_and_the_rest_is_the_next_batch():
    echo = Echo()
    asked_at_once(2 * LARGEST_BATCH + 3, echo.answer)
    assert echo.batches == [LARGEST_BATCH, LARGEST_BATCH, 3]


def test_one_after_another_they_are_batches_of_one():
    echo = Echo()

    async def ask():
        batcher = Batcher(echo.answer)
        for number in range(3):
            await added(batcher, number)

    asyncio.run(ask())
    assert echo.batches == [1, 1, 1]


@pytest.mark.parametrize("answer", [lambda calls: 1 / 0, lambda calls: []], ids=["it fails", "too few replies"])
def test_a_defect_is_told_to_each_that_waits(answer):
    assert all(isinstance(one, Exception) for one in asked_at_once(3, answer))
