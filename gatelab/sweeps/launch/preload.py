"""Imports everything that a run imports, and fills caches: a process forked afterwards starts in a tenth of the time.

The server of the launcher `local` imports this module; nothing here may start a thread.
"""

import torch.utils.serialization.config  # noqa: F401
from hydra.core.override_parser.overrides_parser import OverridesParser

from gatelab.tasks import TASKS

for name in TASKS.names():
    TASKS.get(name)
OverridesParser.create().parse_overrides(["cell=lstm", "optimizer.lr=1e-3", "plugins=[mycell.py]"])
