"""The kinds of objects that are sized: known by a word, or by API version, kind and plural."""

import pytest

from autopilot_client.rules.kinds import KINDS, TARGET, ScaleKind, kind_of, target_of


@pytest.mark.parametrize("word", KINDS)
def test_a_known_kind_has_a_word(word):
    kind = kind_of(f"{word}/x")
    assert kind == KINDS[word]
    assert target_of(kind.group, kind.kind, "", "x") == f"{word}/x"


def test_another_version_of_a_known_kind_is_asked_for_and_known():
    target = target_of("apps.kruise.io/v1beta1", "CloneSet", "", "lobby")
    assert target == "CloneSet.clonesets.v1beta1.apps.kruise.io/lobby"
    assert kind_of(target) == ScaleKind("apps.kruise.io/v1beta1", "clonesets", "CloneSet", "cloneset")


def test_any_other_kind_is_named_in_full():
    target = target_of("games.example/v1", "Hall", "halls", "hall")
    assert target == "Hall.halls.v1.games.example/hall"
    assert kind_of(target) == ScaleKind("games.example/v1", "halls", "Hall", "")
    assert TARGET.fullmatch(target)


@pytest.mark.parametrize("wrong", ["pod/x", "Hall.halls/x", "hall", ""])
def test_what_is_no_kind_is_refused(wrong):
    with pytest.raises(ValueError, match="write one of deployment, statefulset"):
        kind_of(wrong)
