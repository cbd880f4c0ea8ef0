"""Models that differ from the built-in one in nothing but name and checksum."""

import hashlib
import json
import shutil
from pathlib import Path

from autopilot.policy.learned import BUILT_IN_MODEL


def renamed_model(place: Path, name: str = "studio") -> Path:
    """The built-in model under another name, with a checksum of its own, in a directory that is not there yet."""
    shutil.copytree(BUILT_IN_MODEL, place)
    content = (place / "model.tflite").read_bytes() + name.encode() + b"\0"
    (place / "model.tflite").write_bytes(content)
    rewrite_metadata(place, name=name, model_sha256=hashlib.sha256(content).hexdigest())
    return place


def rewrite_metadata(model: Path, **changes: object) -> None:
    """Change entries of a model's metadata.json."""
    path = model / "metadata.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
