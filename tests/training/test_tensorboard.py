"""Learning curves as TensorBoard logs, read back as TensorBoard reads them."""

import tensorflow as tf

from autopilot.training.tensorboard import TensorBoardLog


def test_each_entry_of_the_history_is_a_step_of_each_of_its_numbers(tmp_path):
    log, history = TensorBoardLog(tmp_path / "logs"), []
    for entry in ({"reward": -2.0}, {"reward": -1.0, "score": 0.5}):
        history.append(entry)
        log.look(None, history)
    (file,) = (tmp_path / "logs").iterdir()
    events = [tf.compat.v1.Event.FromString(one.numpy()) for one in tf.data.TFRecordDataset(str(file))]
    told = [
        (event.step, value.tag, float(tf.make_ndarray(value.tensor)), value.metadata.plugin_data.plugin_name)
        for event in events
        for value in event.summary.value
    ]
    assert told == [(1, "reward", -2.0, "scalars"), (2, "reward", -1.0, "scalars"), (2, "score", 0.5, "scalars")]
