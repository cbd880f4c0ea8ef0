"""Whether somebody could look at a browser here."""

from collections.abc import Mapping


def has_screen(environ: Mapping[str, str], platform: str) -> bool:
    """Whether a browser could show a window. `platform`: as sys.platform says it."""
    if platform in ("darwin", "win32"):
        return "SSH_CONNECTION" not in environ
    return bool(environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY"))
