import os
import signal

import pytest

# As the `train` executable sets them; before TensorFlow is imported.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

TINY = {
    "fleets": "6", "validation_fleets": "6", "decisions": "24", "forecast_epochs": "1", "epochs": "2", "hidden": "8",
    "head_hidden": "8", "warm_start": "none",
}  # fmt: skip
TINY_PPO = TINY | {"algorithm": "ppo", "total_iterations": "4", "num_steps": "288", "minibatch_size": "512"}


@pytest.fixture
def tiny():
    return dict(TINY)


@pytest.fixture
def tiny_ppo():
    return dict(TINY_PPO)


@pytest.fixture(autouse=True)
def _signals():
    """A job takes over the signals of its process; give them back."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
