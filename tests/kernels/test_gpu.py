"""The CUDA backend against the eager loop: every cell and path, values and derivatives, odd shapes. On a CPU in the interpreter."""

import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from cells.variants import CELL_NAMES, DEFAULTS, OPTIONS, Variant, normal
from designs import over
from kernels.device import DEVICE, Case, compare, interpreter, needs_triton
from kernels.test_scan import Crossed, InputOnly, RecurrentOnly
from tolerances import BFLOAT16, FLOAT16, FLOAT32, FLOAT64

from gatelab.cells import CELLS, Cell, reductions_of
from gatelab.errors import UserError
from gatelab.kernels import gpu, serving
from gatelab.kernels.gpu._chunk import STEPS, pieces
from gatelab.models import RNN

pytestmark = [needs_triton, pytest.mark.usefixtures("interpreter")]
__all__ = ["interpreter"]

PLAIN = Case(1, 4, 3, 4, 5)
EVERYTHING = Case(2, 3, 3, 2, 17, lengths=(3, 2, 1), resets=True, record=True, flow=True)
OWN = [InputOnly(), RecurrentOnly(), Crossed()]
PATHS = ["loops", "stepwise"]
INTERPRETED = pytest.mark.slow  # Triton's interpreter takes up to a second for each case


@pytest.fixture(params=PATHS)
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every call takes this path."""
    monkeypatch.setenv("GATELAB_GPU_PATH", request.param)
    return request.param


def served(variants: list[Variant]) -> list[Variant]:
    cells = [(variant, variant.cell()) for variant in variants]

    def plain(cell: Cell) -> bool:
        return cell.memory is None and not cell.late and len(cell.outputs) == 1 and not reductions_of(cell)

    return [variant for variant, cell in cells if plain(cell)]


@over("variant", served(DEFAULTS), path=PATHS, case=[pytest.param(EVERYTHING, id="everything"), pytest.param(PLAIN, id="plain")])
def test_every_cell_agrees_with_the_eager_loop(variant: Variant, path: str, case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATELAB_GPU_PATH", path)
    compare(variant.cell(), case, torch.float64, FLOAT64)


@over("variant", served(OPTIONS), rows=1, path=PATHS)
def test_every_option_agrees_with_the_eager_loop(variant: Variant, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATELAB_GPU_PATH", path)
    compare(variant.cell(), EVERYTHING, torch.float64, FLOAT64)


@INTERPRETED
@pytest.mark.parametrize("cell", OWN, ids=lambda cell: type(cell).__name__)
@pytest.mark.parametrize("case", [EVERYTHING, PLAIN._replace(bias=False)], ids=["everything", "no bias"])
def test_declarations_that_no_cell_of_ours_combines_so(cell: Cell, case: Case, path: str) -> None:
    compare(cell, case, torch.float64, FLOAT64)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lstm", "gru"])
@pytest.mark.parametrize(
    ("path", "dtype", "tolerance"),
    [
        *((path, dtype, of) for path in PATHS for dtype, of in ((torch.float32, FLOAT32), (torch.float16, FLOAT16))),
        ("stepwise", torch.bfloat16, BFLOAT16),
        *([("loops", torch.bfloat16, BFLOAT16)] if DEVICE == "cuda" else []),  # the interpreter has no product of bfloat16
    ],
    ids=str,
    indirect=["path"],
)
def test_number_formats(name: str, dtype: torch.dtype, tolerance: float, path: str) -> None:
    compare(CELLS.build(name), PLAIN, dtype, tolerance)


@INTERPRETED
def test_more_steps_than_a_chunk_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATELAB_GPU_PATH", "stepwise")
    compare(CELLS.build("rnn"), Case(1, STEPS + 3, 2, 1, 2, resets=True), torch.float64, FLOAT64)
    for T in range(1, 4 * STEPS):
        chunks = list(pieces(T))
        assert [start for start, _ in chunks] == [sum(count for _, count in chunks[:index]) for index in range(len(chunks))]
        assert sum(count for _, count in chunks) == T


@pytest.mark.parametrize("name", [name for name in CELL_NAMES if CELLS.get(name).peer is not None])
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
def test_cells_of_torch_take_its_functions(name: str, bias: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[str] = []
    forward = gpu._peer.forward
    monkeypatch.setattr(gpu._peer, "forward", lambda *arguments, **options: taken.append(name) or forward(*arguments, **options))
    compare(CELLS.build(name), PLAIN._replace(bias=bias), torch.float64, FLOAT64)
    assert taken
    del taken[:]
    compare(CELLS.build(name), PLAIN._replace(lengths=(4, 2, 1)), torch.float64, FLOAT64)
    assert not taken


@pytest.mark.parametrize("name", ["lstm", "cifg"])
def test_second_derivatives_are_those_of_the_eager_loop(name: str) -> None:
    found = {}
    for backend in ("gpu", "eager"):
        rnn = Variant(name, {}).rnn(2, 3, backend=backend).to(DEVICE)
        x = normal(3, 2, 2).to(DEVICE).requires_grad_()
        (first,) = torch.autograd.grad(rnn(x)[0].sin().sum(), x, create_graph=True)
        (found[backend],) = torch.autograd.grad(first.square().sum(), x)
    torch.testing.assert_close(found["gpu"], found["eager"], rtol=FLOAT64, atol=FLOAT64)


def test_the_output_may_be_changed_in_place_before_the_backward_pass() -> None:
    found = {}
    for backend in ("gpu", "eager"):
        rnn = Variant("cifg", {}).rnn(2, 3, backend=backend).to(DEVICE)
        output, _ = rnn(normal(3, 2, 2).to(DEVICE))
        output.mul_(2).sum().backward()
        found[backend] = rnn.layers["0"].R.grad
    torch.testing.assert_close(found["gpu"], found["eager"], rtol=FLOAT64, atol=FLOAT64)


def test_the_path_depends_on_what_fits_on_the_chip(monkeypatch: pytest.MonkeyPatch) -> None:
    lstm = CELLS.build("lstm")
    assert gpu.path_of(lstm, 512, torch.float32, True) == "peer"
    assert gpu.path_of(lstm, 512, torch.float32, False) == "stepwise"
    assert gpu.path_of(lstm, 100, torch.bfloat16, False) == "loops"
    assert gpu.path_of(lstm, 100, torch.float32, False) == "stepwise"
    assert gpu.path_of(InputOnly(), 4096, torch.float32, False) == "loops"
    monkeypatch.setenv("GATELAB_GPU_PATH", "loops")
    assert gpu.path_of(lstm, 64, torch.float32, True) == "loops"
    with pytest.raises(UserError, match="GATELAB_GPU_PATH is 'loops', but the recurrent weights of 512 units do not fit"):
        gpu.path_of(lstm, 512, torch.float32, True)
    monkeypatch.setenv("GATELAB_GPU_PATH", "fast")
    with pytest.raises(UserError, match="GATELAB_GPU_PATH is 'fast', but accepted are loops and stepwise"):
        gpu.path_of(lstm, 64, torch.float32, True)


def refusal(cell: Cell, dtype: torch.dtype = torch.float32, why: str | None = None, named: bool = True) -> str:
    reason = gpu.refuses(cell, dtype, torch.device(DEVICE), why, False, named)
    assert reason is not None
    assert reason.endswith(".")
    return reason


def test_what_is_not_served_is_refused_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    lstm = CELLS.build("lstm")
    assert gpu.refuses(lstm, torch.float32, torch.device(DEVICE), None, False, True) is None
    assert "earlier states" in refusal(CELLS.build("attention"))
    assert "second product" in refusal(CELLS.build("mgu"))
    assert "functions over the units of a row yet, and LayerNormGRU calls mean" in refusal(CELLS.build("ln_gru"))
    assert "complex64" in refusal(lstm, torch.complex64)
    assert "captures a graph" in refusal(lstm, why="torch.compile captures a graph")
    with torch.autocast(DEVICE, torch.bfloat16):
        assert "autocast" in refusal(lstm)
    monkeypatch.setattr(gpu, "_triton", lambda: False)
    assert "pip install triton" in refusal(lstm)


def test_auto_takes_torchs_functions_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The printed kernels have not run on a device yet."""
    for name in CELL_NAMES:
        for plain in (True, False):
            peer = CELLS.get(name).peer is not None
            reason = gpu.refuses(CELLS.build(name), torch.float32, torch.device(DEVICE), None, plain, False)
            assert (reason is None) == (peer and plain)
            assert reason is None or "backend=gpu" in reason


def test_tensors_elsewhere_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    with pytest.raises(UserError, match="Backend 'gpu' cannot run this: it runs on a CUDA device, but the tensors are on cpu"):
        serving(CELLS.build("lstm"), torch.float32, "cpu", "gpu")


@pytest.mark.slow
def test_auto_on_a_cpu_neither_needs_triton_nor_speaks_of_it() -> None:
    """An import of Triton fails here: torch itself imports it for a trace where it is installed."""
    lines = "import sys; sys.modules['triton'] = None; import torch, gatelab; gatelab.RNN('lstm', 2, 3)(torch.zeros(4, 1, 2))"
    done = subprocess.run([sys.executable, "-W", "error", "-c", lines], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


FUNCTIONS: dict[str, Any] = {
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "exp": torch.exp,
    "expm1": torch.expm1,
    "log": lambda x: torch.log(x.abs() + 0.5),
    "log1p": lambda x: torch.log1p(x.abs()),
    "sqrt": lambda x: torch.sqrt(x.abs() + 0.5),
    "fraction": lambda x: x - torch.floor(x),
    "sin": torch.sin,
    "cos": torch.cos,
    "erf": torch.erf,
    "fourth": lambda x: x**4,
    "fifth": lambda x: x**5,
    "power": lambda x: (x.abs() + 0.5) ** 1.3,
    "relu": torch.relu,
    "softplus": torch.nn.functional.softplus,
    "silu": torch.nn.functional.silu,
    "clamp": lambda x: x.clamp(-0.5, 0.7),
    "hardtanh": torch.nn.functional.hardtanh,
    "sign": lambda x: x.sign() * x * 2,
    "maximum": lambda x: torch.maximum(x, -2 * x),
    "minimum": lambda x: torch.minimum(x, 0.5 * x),
    "where": lambda x: torch.where((x > 0) & ~(x >= 2), x, 3 * x),
}


@dataclass(frozen=True)
class Functions(Cell):
    """Every function of the input, each as a part of the state."""

    gates = {"z": "block_input"}
    sources = {"z": "input"}
    state = tuple(FUNCTIONS)

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        return {name: function(a.z) for name, function in FUNCTIONS.items()}, {}


@INTERPRETED
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_functions_that_equations_are_made_of(dtype: torch.dtype) -> None:
    """float32 relative to each value also where 1 - exp(-x) would lose its digits."""
    grid = torch.cat([torch.linspace(-3, 3, 31), torch.logspace(-6, 0, 7), -torch.logspace(-6, 0, 7)]).to(torch.float64)
    found = []
    for backend, of in (("gpu", dtype), ("eager", torch.float64)):
        rnn = RNN(Functions(), len(grid), len(grid), backend=backend, dtype=of, device=DEVICE)
        layer: Any = rnn.layers["0"]
        layer.write("W", torch.diag(grid))
        _, last = rnn(torch.ones(1, 1, len(grid), dtype=of, device=DEVICE))
        slopes = [torch.autograd.grad(part.sum(), layer.b, retain_graph=True)[0] for part in last]
        found.append([value.detach().double().flatten() for value in (*last, *slopes)])
    single = dtype == torch.float32
    for name, ours, theirs in zip([*FUNCTIONS, *(f"slope of {name}" for name in FUNCTIONS)], *found, strict=True):
        relative = single and name in ("tanh", "expm1", "log1p", "sin")
        difference = (ours - theirs).abs() / (theirs.abs() + (0 if relative else 1))
        assert float(difference.max()) <= (FLOAT32 if single else FLOAT64), name
