"""A LiteRT network that answers batches of any size from several threads. Neither TensorFlow nor the domain here."""

import contextlib
import os
import threading
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from ai_edge_litert.interpreter import Interpreter

from autopilot.ports import ModelError

Floats = npt.NDArray[np.float32]

CHUNK = 512
"""Most rows in one call of the interpreter: bounds its memory whatever the size of a request."""

_GREETING = b"XNNPACK delegate"
_SWAPPING = threading.Lock()


@contextlib.contextmanager
def without_greeting() -> Iterator[None]:
    """Standard error without the line that LiteRT writes for its first network; it has no switch for it.

    What else is written meanwhile, by whomever, is written at the end.
    """
    with _SWAPPING, contextlib.ExitStack() as stack:
        try:
            kept = os.dup(2)
        except OSError:  # closed: nobody would read the greeting
            yield
            return
        held = stack.enter_context(open(os.memfd_create("stderr"), "rb"))
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            held.seek(0)
            with contextlib.suppress(OSError):  # a log that takes nothing is no reason to have no policy
                os.write(2, b"".join(line for line in held if _GREETING not in line))


class _Runner:
    """One interpreter at one batch size at a time. For one thread only."""

    def __init__(self, content: bytes) -> None:
        self._interpreter = Interpreter(model_content=content, num_threads=1)
        runner = self._interpreter.get_signature_runner()
        inputs, outputs = runner.get_input_details(), runner.get_output_details()
        self._input = int(inputs["observations"]["index"])
        self._outputs = int(outputs["actions"]["index"]), int(outputs["logits"]["index"])
        self._rows = 0

    def run(self, observations: Floats) -> tuple[Floats, Floats]:
        interpreter = self._interpreter
        if len(observations) != self._rows:
            self._resize(observations.shape)
        interpreter.set_tensor(self._input, observations)
        interpreter.invoke()
        actions, logits = self._outputs
        return interpreter.get_tensor(actions), interpreter.get_tensor(logits)

    def _resize(self, shape: tuple[int, ...]) -> None:
        self._rows = 0  # until the new size stands, so that a failure is not mistaken for it
        self._interpreter.resize_tensor_input(self._input, list(shape), strict=True)
        self._interpreter.allocate_tensors()
        self._rows = shape[0]


class LiteRTNetwork:
    """The network of a `model.tflite`: observations [N, width] to actions [N, A] and logits [N, 2A].

    Safe for several threads: each gets two interpreters of its own, one that stays at a batch of one (the usual
    request), and one for batches. Raises ModelError if the content is not a network with these names and width.
    """

    def __init__(self, content: bytes, width: int, outputs: int) -> None:
        self._content = content
        self._width = width
        self._outputs = outputs
        self._mine = threading.local()
        with without_greeting():
            self._probe()

    def __reduce__(self) -> tuple[type["LiteRTNetwork"], tuple[bytes, int, int]]:
        """Sent to another process as what it was made of: interpreters cannot be."""
        return LiteRTNetwork, (self._content, self._width, self._outputs)

    def run(self, observations: Floats) -> tuple[Floats, Floats]:
        """Actions [N, A] and logits [N, 2A]. Raises ValueError unless observations are [N, width]."""
        if observations.ndim != 2 or observations.shape[1] != self._width:
            raise ValueError(f"an observation holds {self._width} numbers, this has shape {observations.shape}")
        rows = np.ascontiguousarray(observations, np.float32)
        if len(rows) == 1:
            return self._runner("single").run(rows)
        return self._in_chunks(rows)

    def _in_chunks(self, rows: Floats) -> tuple[Floats, Floats]:
        actions = np.empty((len(rows), self._outputs), np.float32)
        logits = np.empty((len(rows), 2 * self._outputs), np.float32)
        runner = self._runner("batch")
        for start in range(0, len(rows), CHUNK):
            part = slice(start, start + CHUNK)
            actions[part], logits[part] = runner.run(rows[part])
        return actions, logits

    def _runner(self, kind: str) -> _Runner:
        runner: _Runner | None = getattr(self._mine, kind, None)
        if runner is None:
            runner = _Runner(self._content)
            setattr(self._mine, kind, runner)
        return runner

    def _probe(self) -> None:
        """A canned observation must give finite numbers of the promised shapes."""
        try:
            actions, logits = self.run(np.zeros((1, self._width), np.float32))
        except (ValueError, RuntimeError, KeyError, AttributeError) as error:
            raise ModelError(f"The network cannot be run ({error}). Train again, or restore model.tflite.") from error
        if actions.shape != (1, self._outputs) or logits.shape != (1, 2 * self._outputs):
            raise ModelError(f"The network gives {actions.shape[-1]} actions, metadata.json says {self._outputs}.")
        if not (np.isfinite(actions).all() and np.isfinite(logits).all()):
            raise ModelError("The network answers a canned observation with NaN or infinity. Train again.")
