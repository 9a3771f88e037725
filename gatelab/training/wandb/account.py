"""Whether W&B has an account to write to."""

import contextlib
import netrc
import os
from pathlib import Path
from urllib.parse import urlsplit


def wandb_offline(mode: str) -> bool:
    """Whether W&B writes to disk only: asked for, by WANDB_MODE, or because no key is configured (never a prompt)."""
    if mode != "auto":
        return mode == "offline"
    if os.environ.get("WANDB_MODE"):
        return os.environ["WANDB_MODE"] != "online"
    return not wandb_key()


def wandb_disabled(mode: str) -> bool:
    """Whether W&B is disabled: WANDB_MODE=disabled, and the configuration does not override it."""
    return mode == "auto" and os.environ.get("WANDB_MODE") == "disabled"


def wandb_key() -> bool:
    """Whether there is a key for the server: WANDB_API_KEY, or that of `wandb login`."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    host = urlsplit(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname or ""
    for path in (os.environ.get("NETRC"), Path.home() / ".netrc", Path.home() / "_netrc"):
        with contextlib.suppress(OSError, netrc.NetrcParseError):
            if path and netrc.netrc(str(path)).authenticators(host):
                return True
    return False
