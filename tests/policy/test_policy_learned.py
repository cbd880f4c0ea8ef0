import hashlib
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from autopilot.core.history import WEEK_SLOTS, WINDOW_SLOTS, Windows
from autopilot.policy.learned import load_policy
from autopilot.policy.litert import CHUNK
from autopilot.policy.metadata import METADATA_FILE, MODEL_FILE
from autopilot.ports import ModelError
from testkit.predicting import predicted

TINY = Path(__file__).parent.parent / "fixtures" / "tiny-service-model"


@pytest.fixture
def tiny():
    return load_policy(TINY)


@pytest.fixture
def copied(tmp_path):
    return Path(shutil.copytree(TINY, tmp_path / "model"))


def observations(rows, width=25):
    return np.random.default_rng(1).normal(size=(rows, width)).astype(np.float32)


def test_the_raw_answer_has_a_row_for_each_observation(tiny):
    answer = tiny.act(observations(3))
    assert answer.actions.shape == (3, 2)
    assert answer.logits.shape == (3, 4)
    assert np.isnan(answer.servers).all()


def test_an_empty_batch_gives_an_empty_answer(tiny):
    assert tiny.act(observations(0)).actions.shape == (0, 2)


@pytest.mark.parametrize("rows", [1, 2, CHUNK, CHUNK + 1, 10_000])
def test_a_batch_of_any_size_gives_what_each_row_gives_alone(tiny, rows):
    seen = observations(rows)
    together = tiny.act(seen).actions
    chosen = np.unique([0, rows // 2, rows - 1])
    alone = np.concatenate([tiny.act(seen[row : row + 1]).actions for row in chosen])
    np.testing.assert_allclose(together[chosen], alone, rtol=1e-5)


def test_deterministic_actions_are_the_exponential_of_the_mean(tiny):
    answer = tiny.act(observations(5))
    np.testing.assert_allclose(answer.actions, np.exp(answer.logits[:, :2]), rtol=1e-5)


@pytest.mark.parametrize("shape", [(1, 24), (25,), (0, 3), (1, 1, 25)])
def test_an_observation_of_another_width_is_refused(tiny, shape):
    with pytest.raises(ValueError, match="25 numbers"):
        tiny.act(np.zeros(shape, np.float32))


def test_threads_do_not_disturb_each_other(tiny):
    seen = [observations(rows) for rows in (1, 2, 3, 50)] * 8
    expected = [tiny.act(one).actions for one in seen]
    together = threading.Barrier(4)

    def ask(index):
        if index < 4:
            together.wait(10)
        return [tiny.act(seen[index]).actions for _ in range(50)]

    with ThreadPoolExecutor(4) as pool:
        for index, answers in enumerate(pool.map(ask, range(len(seen)))):
            for answer in answers:
                np.testing.assert_array_equal(answer, expected[index])


def test_a_model_for_services_says_that_it_predicts_no_fleets(tiny):
    window = Windows(
        np.ones((1, WINDOW_SLOTS), np.float32), np.ones((1, WEEK_SLOTS), np.float32), np.zeros(1, np.int64)
    )
    with pytest.raises(ModelError, match="environment service"):
        predicted(tiny, window)


def test_a_directory_without_a_model_is_refused(tmp_path):
    with pytest.raises(ModelError, match=r"No readable metadata\.json"):
        load_policy(tmp_path)


def test_a_missing_network_is_refused(copied):
    (copied / MODEL_FILE).unlink()
    with pytest.raises(ModelError, match=r"No readable model\.tflite"):
        load_policy(copied)


def test_a_network_of_another_training_run_is_refused(copied):
    (copied / MODEL_FILE).write_bytes((copied / MODEL_FILE).read_bytes() + b"\0")
    with pytest.raises(ModelError, match="another checksum"):
        load_policy(copied)


def rewrite(directory, old, new):
    text = (directory / METADATA_FILE).read_text()
    assert old in text
    (directory / METADATA_FILE).write_text(text.replace(old, new))


def test_a_network_of_another_width_is_refused(copied):
    rewrite(copied, '"width": 25', '"width": 24')
    with pytest.raises(ModelError, match="cannot be run"):
        load_policy(copied)


def test_a_network_with_another_number_of_actions_is_refused(copied):
    rewrite(copied, '"outputs": 2', '"outputs": 1')
    with pytest.raises(ModelError, match="gives 2 actions"):
        load_policy(copied)


def test_a_model_trained_on_other_features_is_refused(copied):
    rewrite(copied, '"service"', '"fleet"')
    with pytest.raises(ModelError, match="Train again with this version"):
        load_policy(copied)


def test_bytes_that_are_no_network_are_refused(copied):
    old = hashlib.sha256((copied / MODEL_FILE).read_bytes()).hexdigest()
    (copied / MODEL_FILE).write_bytes(b"no network")
    rewrite(copied, old, hashlib.sha256(b"no network").hexdigest())
    with pytest.raises(ModelError, match="cannot be run"):
        load_policy(copied)
