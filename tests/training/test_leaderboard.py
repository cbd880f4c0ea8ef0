"""The ranking of trials."""

import json

import pytest

from autopilot.training.leaderboard import Entry, Leaderboard

DONE = Entry(1, {"seed": 1}, "done", 0.9), Entry(2, {"seed": 2}, "done", 0.8), Entry(3, {"seed": 3}, "done", 0.8)
GIVEN_UP = Entry(4, {"seed": 4}, "given up", 0.1, "others were better by its validation 2")
FAILED = Entry(5, {"seed": 5}, "failed", why="its process was killed")
LEFT = Entry(6, {"seed": 6}, "not begun", why="the job was told to stop")

RANKINGS = {
    "of two that cost the same the earlier": (DONE, [2, 3, 1], 2),
    "one that was given up is behind all that are done": ([GIVEN_UP, *DONE], [2, 3, 1, 4], 2),
    "those without a cost are last": ([LEFT, FAILED, GIVEN_UP, DONE[0]], [1, 4, 5, 6], 1),
    "none is done": ([FAILED, GIVEN_UP], [4, 5], None),
}


@pytest.mark.parametrize(("entries", "ranked", "chosen"), RANKINGS.values(), ids=RANKINGS.keys())
def test_the_least_cost_of_those_that_are_done_is_chosen(entries, ranked, chosen):
    board = Leaderboard(entries, "3 simulated fleets")
    told = json.loads(board.as_json())
    assert [one["trial"] for one in told["trials"]] == ranked
    assert told["chosen"] == chosen
    assert [row[0] for row in board.rows()] == [str(number) for number in ranked]


def test_a_row_says_what_a_trial_cost_and_why_it_is_not_done():
    board = Leaderboard([DONE[1], GIVEN_UP, FAILED], "3 simulated fleets")
    assert board.head == ["trial", "cost", "seed", "outcome"]
    assert board.rows() == [
        ["2", "0.8000", "2", "chosen"],
        ["4", "0.1000", "4", "given up: others were better by its validation 2"],
        ["5", "", "5", "failed: its process was killed"],
    ]
    assert board.command == "autopilot train -p seed=2"


def test_the_command_for_the_chosen_one_says_what_was_given_for_all():
    board = Leaderboard(DONE, "3 simulated fleets", {"fleets": 200, "name": "my games"})
    assert board.command == "autopilot train -p seed=2 -p fleets=200 -p 'name=my games'"


def test_where_none_is_done_there_is_nothing_to_train_alone():
    board = Leaderboard([FAILED], "3 simulated fleets")
    assert board.command == ""
    assert "1 trials, 0 done: none is done" in board.sentence
