"""Imports everything that a run imports, and fills caches: a process forked afterwards starts in a tenth of the time.

The server of the launcher `local` imports this module; nothing here may start a thread.
"""

import torch._inductor.compiler_bisector
import torch._inductor.fx_passes.dedupe_symint_uses
import torch.utils.serialization.config  # noqa: F401
from hydra.core.override_parser.overrides_parser import OverridesParser
from torch._decomp import core_aten_decompositions

from gatelab.cells import CELLS
from gatelab.tasks import TASKS

for registry in (CELLS, TASKS):
    for name in registry.names():
        registry.get(name)
core_aten_decompositions()  # takes 0.3 s, which every process that traces equations would pay again
OverridesParser.create().parse_overrides(["cell=lstm", "optimizer.lr=1e-3", "plugins=[mycell.py]"])
