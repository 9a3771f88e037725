"""Imports what a run would import late, so that a process forked afterwards need not: the server of the launcher `local` does it."""

import torch._inductor.compiler_bisector
import torch._inductor.fx_passes.dedupe_symint_uses
import torch.utils.serialization.config  # noqa: F401

from gatelab.cells import CELLS
from gatelab.tasks import TASKS

for registry in (CELLS, TASKS):
    for name in registry.names():
        registry.get(name)
