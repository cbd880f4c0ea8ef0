import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from testkit import emulators


@pytest.fixture(scope="session")
def dynalite_url() -> Iterator[str]:
    if missing := emulators.why_no_dynalite():
        pytest.skip(missing)
    with emulators.dynalite() as url:
        yield url


@pytest.fixture(scope="session")
def moto_url() -> Iterator[str]:
    with emulators.locked_moto() as url:
        yield url


@pytest.fixture(scope="session")
def dynalite(dynalite_url: str) -> Any:
    return emulators.client(dynalite_url, read_timeout=20)


@pytest.fixture(scope="session")
def moto(moto_url: str) -> Any:
    return emulators.client(moto_url, read_timeout=20)


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory that every user can reach, unlike pytest's own."""
    directory = Path(tempfile.mkdtemp(prefix="history-"))
    os.chmod(directory, 0o755)
    yield directory
    os.chmod(directory, 0o755)
    shutil.rmtree(directory)
