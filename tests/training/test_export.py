import shutil

import numpy as np
import pytest
import tensorflow as tf

from autopilot.core import features
from autopilot.core.calibrated_rule import calibrated
from autopilot.core.history import WEEK_SLOTS, WINDOW_SLOTS, Windows
from autopilot.policy.learned import load_policy
from autopilot.policy.litert import LiteRTNetwork as LiteNetwork
from autopilot.policy.metadata import METADATA_FILE, MODEL_FILE, Metadata, read_metadata
from autopilot.ports import ModelError
from autopilot.training import export as exporting
from autopilot.training.export import RATIO, check_agreement, export, load_network, read_weights
from autopilot.training.network import ExportedAction, build_fleet_network, build_network, get_weights, set_weights
from testkit.predicting import predicted

OBSERVATIONS = np.random.default_rng(1).normal(size=(64, 5)).astype(np.float32)


def metadata(**changed):
    given = {
        "name": "tiny",
        "environment": "service",
        "features_version": 1,
        "width": 5,
        "model_sha256": "",
        "horizon_minutes": 5,
        "outputs": 2,
        "action": "mean",
    }
    return Metadata(**(given | changed))


def network(seed=3):
    made = build_network(5, (8,), 2, seed)
    made.normalise(OBSERVATIONS)
    return made


def served(directory):
    return tf.saved_model.load(str(directory / "1")).signatures["serving_default"]


def test_the_saved_model_and_litert_agree(tmp_path):
    export(network(), metadata(), tmp_path)
    theirs = served(tmp_path)(observations=tf.constant(OBSERVATIONS))
    ours = load_policy(tmp_path).act(OBSERVATIONS)
    np.testing.assert_allclose(theirs["actions"], ours.actions, atol=1e-5)
    np.testing.assert_allclose(theirs["logits"], ours.logits, atol=1e-5)


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        pytest.param(ExportedAction(lambda seen, mean: mean), lambda mean: mean, id="plain"),
        pytest.param(RATIO, np.exp, id="ratio"),
    ],
)
def test_actions_are_deterministic_and_logits_are_means_and_log_deviations(tmp_path, action, expected):
    made = network()
    export(made, metadata(), tmp_path, action=action)
    ours = load_policy(tmp_path).act(OBSERVATIONS)
    mean = made(tf.constant(OBSERVATIONS)).numpy()
    np.testing.assert_allclose(ours.logits[:, :2], mean, atol=1e-5)
    np.testing.assert_allclose(ours.actions, expected(mean), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(ours.logits[:, 2:], np.broadcast_to(made.log_std.numpy(), (64, 2)), atol=1e-5)


def test_the_signature_is_that_of_the_original(tmp_path):
    export(network(), metadata(), tmp_path)
    signature = served(tmp_path)
    assert list(signature.structured_input_signature[1]) == ["observations"]
    assert set(signature.structured_outputs) == {"actions", "logits"}


def test_the_same_network_gives_the_same_file_and_name(tmp_path):
    first, second = (export(network(), metadata(), tmp_path / name) for name in ("a", "b"))
    assert first == second
    assert export(network(seed=4), metadata(), tmp_path / "c").version != first.version


def test_a_model_is_replaced_as_a_whole(tmp_path):
    export(network(), metadata(), tmp_path)
    newer = export(network(seed=4), metadata(), tmp_path)
    assert load_policy(tmp_path).name == newer.version
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1", METADATA_FILE, MODEL_FILE]


def test_what_a_killed_run_left_behind_does_not_disturb(tmp_path):
    (tmp_path / ".new" / "1").mkdir(parents=True)
    (tmp_path / ".new" / "1" / "half").write_text("written")
    export(network(), metadata(), tmp_path)
    assert not (tmp_path / ".new").exists()
    assert not (tmp_path / "1" / "half").exists()


def test_a_failed_conversion_leaves_the_old_model(tmp_path, monkeypatch):
    before = export(network(), metadata(), tmp_path)
    monkeypatch.setattr(exporting, "TOLERANCE", -1.0)
    with pytest.raises(ModelError, match="nothing was written"):
        export(network(seed=4), metadata(), tmp_path)
    assert load_policy(tmp_path).name == before.version


def test_networks_that_disagree_are_noticed(tmp_path):
    export(network(), metadata(), tmp_path / "a")
    export(network(seed=4), metadata(), tmp_path / "b")
    other = (tmp_path / "b" / MODEL_FILE).read_bytes()
    with pytest.raises(ModelError, match="differ by"):
        check_agreement(tmp_path / "a" / "1", other, metadata())


def test_an_exported_network_can_be_trained_further(tmp_path):
    made = network()
    export(made, metadata(), tmp_path)
    loaded = load_network(tmp_path)
    for name, value in get_weights(made).items():
        np.testing.assert_array_equal(get_weights(loaded)[name], value)


def test_weights_of_another_network_are_refused(tmp_path):
    export(network(), metadata(), tmp_path)
    with pytest.raises(ValueError, match="network"):
        set_weights(build_network(5, (9,), 2), read_weights(tmp_path))


def test_a_directory_without_a_saved_model_is_refused(tmp_path):
    with pytest.raises(ModelError, match="No SavedModel"):
        load_network(tmp_path)


@pytest.fixture(scope="module")
def fleet_model(tmp_path_factory):
    """An untrained fleet network: the forecast that its head starts with."""
    directory = tmp_path_factory.mktemp("fleet")
    made = build_fleet_network((8,), (8,))
    given = {"environment": "fleet", "features_version": features.FEATURES_VERSION, "width": features.WIDTH}
    export(made, metadata(**given, outputs=1, action="ratio", horizon_minutes=10), directory)
    return directory


def windows(count=3):
    rng = np.random.default_rng(0)
    demand = rng.poisson(50, (count, WINDOW_SLOTS)).astype(np.float32)
    return Windows(demand, demand[:, :WEEK_SLOTS], np.full(count, 6_000_000, np.int64))


def test_a_fleet_policy_predicts_servers_from_windows(fleet_model):
    answer = predicted(load_policy(fleet_model), windows())
    np.testing.assert_allclose(answer.servers, answer.actions[:, 0] * features.reference(windows()), rtol=1e-6)
    assert ((answer.servers > 20) & (answer.servers < 150)).all()
    assert answer.logits.shape == (3, 2)


def test_predictions_of_many_fleets_are_those_of_each_alone(fleet_model):
    policy, seen = load_policy(fleet_model), windows(5)
    together = predicted(policy, seen).servers
    for row in range(5):
        part = slice(row, row + 1)
        alone = predicted(policy, Windows(seen.demand[part], seen.last_week[part], seen.slot[part]))
        assert alone.servers[0] == pytest.approx(together[row], rel=1e-6)


def rewritten(directory, target, **changed):
    shutil.copytree(directory, target)
    metadata = read_metadata(target)
    text = metadata.to_json()
    for name, value in changed.items():
        text = text.replace(f'"{name}": {_json(getattr(metadata, name))}', f'"{name}": {_json(value)}')
    (target / METADATA_FILE).write_text(text)
    return target


def _json(value):
    return f'"{value}"' if isinstance(value, str) else str(value)


def test_where_the_rule_is_preferred_it_predicts_and_the_network_still_answers_vectors(fleet_model, tmp_path):
    policy = load_policy(rewritten(fleet_model, tmp_path / "m", serve="calibrated"))
    assert policy.name.startswith("calibrated")
    np.testing.assert_array_equal(predicted(policy, windows()).servers, calibrated(windows(), 10))
    assert policy.act(np.zeros((1, features.WIDTH), np.float32)).logits.shape == (1, 2)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        pytest.param({"features_version": 999}, "Train again", id="features of another version"),
    ],
)
def test_a_model_that_does_not_fit_this_version_is_refused(fleet_model, tmp_path, changed, said):
    with pytest.raises(ModelError, match=said):
        load_policy(rewritten(fleet_model, tmp_path / "m", **changed))


def test_the_litert_network_refuses_another_width(fleet_model):
    content = (fleet_model / MODEL_FILE).read_bytes()
    with pytest.raises(ModelError, match="cannot be run"):
        LiteNetwork(content, features.WIDTH + 1, 1)
