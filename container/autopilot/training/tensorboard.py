"""The learning curves as TensorBoard logs, written by TensorFlow itself; to look at them takes the package."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import tensorflow as tf

_PLUGIN = "scalars"


class TensorBoardLog:
    """Writes each entry of a run's history into event files in a directory."""

    def __init__(self, directory: Path) -> None:
        self._writer = tf.summary.create_file_writer(str(directory))
        # `tf.summary.scalar` comes with the package; this is all that it adds.
        self._metadata = tf.compat.v1.SummaryMetadata(
            plugin_data=tf.compat.v1.SummaryMetadata.PluginData(plugin_name=_PLUGIN)
        )

    def look(self, network: object, history: Sequence[Mapping[str, float]]) -> None:
        """Write the last entry, at the step of its place in the history."""
        del network
        with self._writer.as_default(step=len(history)):
            for name, value in history[-1].items():
                tf.summary.write(name, tf.constant(value, tf.float32), metadata=self._metadata)
        self._writer.flush()
