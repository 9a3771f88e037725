"""What a training process of the command line imports, and that a step is the same as with all of Lightning."""

import subprocess
import sys
from pathlib import Path

import pytest

LOOK = """
import sys
import {first}
import gatelab.training.fit
import torch
torch.manual_seed(0)
for kind in (torch.optim.AdamW, torch.optim.SGD, torch.optim.RMSprop):
    weight = torch.nn.Parameter(torch.randn(5))
    optimizer = kind([weight], lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        weight.square().sum().backward()
        optimizer.step(lambda: torch.is_grad_enabled())
    print(weight.tolist())
from gatelab.cells import CELLS
from gatelab.kernels.cpu import source
assert "adjoint" in source(CELLS.get("lstm")(), torch.float32)  # a cell that is met for the first time is traced
print([name for name in ("torch._dynamo", "sympy", "scipy", "matplotlib", "triton") if name in sys.modules])
import torch._dynamo
from lightning.fabric.wrappers import OptimizedModule
print(isinstance(torch.compile(torch.nn.Linear(2, 2)), OptimizedModule), isinstance(torch.nn.Linear(2, 2), OptimizedModule))
from lightning.fabric.utilities.throughput import measure_flops
print(measure_flops(torch.nn.Linear(2, 3), lambda: torch.nn.Linear(2, 3)(torch.ones(4, 2))))
"""


@pytest.mark.slow
def test_training_starts_without_the_compiler_of_torch_and_computes_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATELAB_CACHE", str(tmp_path))  # no equations in C are kept there
    lean, whole = (
        subprocess.run([sys.executable, "-c", LOOK.format(first=first)], capture_output=True, text=True, check=True).stdout.split(
            "\n"
        )
        for first in ("gatelab.training.lean_imports", "lightning.pytorch")
    )
    assert lean[:3] == whole[:3]
    assert lean[3] == "[]"
    assert lean[4] == whole[4] == "True False"
    assert lean[5] == whole[5] == "48"
