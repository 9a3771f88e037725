"""The compiled loop against the eager one: every cell, both number formats, odd shapes, NaN in all memory that is not written."""

import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
import torch
from cells.variants import DEFAULTS, OPTIONS, VARIANTS, Variant, each_default_few_quick, normal, random_state
from designs import over
from kernels.late_cells import LATE
from kernels.reducing_cells import REDUCING
from kernels.test_scan import Crossed, InputOnly, RecurrentOnly, replicas
from tolerances import EXACT, FLOAT32_LONG, FLOAT64
from torch import Tensor

from gatelab.cells import Attention, Cell
from gatelab.errors import UserError
from gatelab.kernels import Weights, scan
from gatelab.kernels.cpu._call import POOL
from gatelab.models import RNN

SMALL = [(1, 1, 1, 1), (3, 7, 5, 9), (2, 1, 40, 16)]  # B, T, D, H
LARGE = [(33, 63, 17, 100), (70, 5, 3, 33)]
each_size = pytest.mark.parametrize(
    "shapes", [pytest.param(SMALL, id="small"), pytest.param(LARGE, id="large", marks=pytest.mark.slow)]
)
TOLERANCE = {torch.float64: FLOAT64, torch.float32: FLOAT32_LONG}


@dataclass(frozen=True)
class ReadsInputOnly(InputOnly):
    """A read without any recurrent product."""

    memory = Attention("dot", 2)  # type: ignore[assignment]


@dataclass(frozen=True)
class ReadsRecurrentOnly(RecurrentOnly):
    """A read whose query is all that sees the input."""

    memory = Attention("additive", None)  # type: ignore[assignment]


@dataclass(frozen=True)
class ReadsCrossed(Crossed):
    """A read of three parts of the state, in another order than they are fed back."""

    memory = Attention("additive", 6)  # type: ignore[assignment]


OWN = [InputOnly(), RecurrentOnly(), Crossed(), ReadsInputOnly(), ReadsRecurrentOnly(), ReadsCrossed(), *LATE, *REDUCING]


@pytest.fixture(autouse=True)
def poisoned(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """torch.empty gives NaN, and no block of memory is used twice."""
    monkeypatch.setattr(POOL, "most", 0)
    POOL.clear()
    # `torch.use_deterministic_algorithms` does this, too, and imports the whole compiler of torch for it, which takes seconds.
    torch._C._set_deterministic_algorithms(True, warn_only=False)
    assert torch.empty(1).isnan()
    yield
    torch._C._set_deterministic_algorithms(False, warn_only=False)
    torch.set_num_threads(1)


class Result(NamedTuple):
    """Everything that a backend computes."""

    output: Tensor
    last: tuple[Tensor, ...]
    inside: dict[str, Tensor]
    gradients: dict[str, Tensor]
    flow: dict[str, Tensor]


def compute(
    cell: Cell,
    backend: str,
    shape: tuple[int, ...],
    dtype: torch.dtype,
    lengths: Tensor | None = None,
    off: float = 0.0,
    **options: Any,
) -> Result:
    """Output, last state, all gates and states, all gradients and dL/ds(t) of a stack that draws the same for every backend.

    Args:
        off: by how much of themselves input, initial state and parameters are off, each at random.
    """

    def near(value: Tensor) -> Tensor:
        return value * (1 + off * normal(*value.shape, seed=7)) if off else value

    B, T, D, H = shape
    rnn = RNN(cell, D, H, backend=backend, dtype=dtype, **options)
    with torch.no_grad():
        for number, parameter in enumerate(rnn.parameters()):
            drawn = normal(*parameter.shape, seed=10 + number) * (0.5 if parameter.dim() == 1 else (D + H) ** -0.5)
            parameter.copy_(near(drawn))
    x = near(normal(T, B, D)).to(dtype).requires_grad_()
    state = tuple(near(part).to(dtype).requires_grad_() for part in random_state(rnn, B))
    rnn.following = True
    output, last, traces = rnn.trace(x, state, lengths)
    inside = {f"{layer}.{name}": value for layer, trace in traces.items() for group in trace for name, value in group.items()}
    alive = torch.ones(T, B, 1, dtype=torch.bool) if lengths is None else (torch.arange(T)[:, None] < lengths)[..., None]
    # What is inside takes part in the loss, so that its derivatives are compared, too.
    loss: Any = sum(
        (value.masked_fill(~alive, 0) * normal(T, B, 1, seed=5).to(dtype)).sum() for value in (output, *inside.values())
    )
    loss = loss + sum((part * (number + 1)).sum() for number, part in enumerate(last))
    names = {
        "x": x,
        **{f"s0.{name}": part for name, part in zip(rnn.cell.state, state, strict=True)},
        **dict(rnn.named_parameters()),
    }
    found = torch.autograd.grad(loss, list(names.values()), allow_unused=True, materialize_grads=True)
    flow = {f"{layer}.{name}": value for layer, parts, _ in rnn.gradient_flow() for name, value in parts.items()}
    return Result(
        output.detach(),
        tuple(part.detach() for part in last),
        {name: value.detach().masked_fill(~alive, 0) for name, value in inside.items()},
        dict(zip(names, found, strict=True)),
        flow,
    )


def named(result: Result) -> dict[str, Tensor]:
    """Its tensors, each under a name of its own."""
    found = {}
    for part, values in zip(Result._fields, result, strict=True):
        items = values.items() if isinstance(values, dict) else enumerate(values if isinstance(values, tuple) else [values])
        found |= {f"{part} {name}": value for name, value in items}
    return found


def agree(left: Result, right: Result, tolerance: float, moved: Callable[[], Result] | None = None) -> None:
    """Every number within the tolerance of its tensor's largest: sums over a batch cancel, and their terms decide their error.

    Args:
        moved: the right side with arguments that are off by a rounding. By how much it differs is the condition of the equations:
            a phase that is multiplied by 40 has 40 times its error. Twice the difference is allowed where that is more than the
            tolerance; it is computed only for numbers that miss the tolerance.
    """
    ours, theirs = named(left), named(right)
    assert ours.keys() == theirs.keys()
    others: dict[str, Tensor] = {}
    for name, one in ours.items():
        other = theirs[name]
        allowed = tolerance * max(1.0, other.abs().max().item())
        if moved is not None and float((one - other).abs().max()) > allowed:
            others = others or named(moved())
            allowed = max(allowed, 2 * float((others[name] - other).abs().max()))
        torch.testing.assert_close(one.to(other.dtype), other, rtol=0, atol=allowed, msg=lambda text, at=name: f"{at}: {text}")


def some_lengths(shape: tuple[int, ...]) -> Tensor:
    return torch.randint(1, shape[1] + 1, shape[:1], generator=torch.Generator().manual_seed(3))


def compare(variant: Variant, shape: tuple[int, ...], dtype: torch.dtype, ragged: bool, threads: int) -> None:
    lengths = some_lengths(shape) if ragged else None
    torch.set_num_threads(1)  # torch's own threads wait for each other at every operator, however small
    expected = compute(variant.cell(), "eager", shape, torch.float64, lengths)
    torch.set_num_threads(threads)
    found = compute(variant.cell(), "cpu", shape, dtype, lengths)
    off = torch.finfo(dtype).eps / 2
    agree(found, expected, TOLERANCE[dtype], lambda: compute(variant.cell(), "eager", shape, torch.float64, lengths, off))


@each_default_few_quick
def test_every_cell_agrees_with_eager(variant: Variant) -> None:
    for number, shape in enumerate(SMALL):
        compare(variant, shape, torch.float64, ragged=number % 2 == 1, threads=3 - number)


CALLS = {"ragged": [pytest.param(False, id="whole"), pytest.param(True, id="lengths")], "threads": [1, 2, 3]}


@over("variant", DEFAULTS, shape=[SMALL[1], *LARGE], dtype=TOLERANCE, **CALLS)
def test_every_cell_in_large_shapes(
    variant: Variant, shape: tuple[int, ...], dtype: torch.dtype, ragged: bool, threads: int
) -> None:
    compare(variant, shape, dtype, ragged, threads)


@over("variant", OPTIONS, rows=1, shape=[SMALL[1], *LARGE], dtype=TOLERANCE, **CALLS)
def test_every_option(variant: Variant, shape: tuple[int, ...], dtype: torch.dtype, ragged: bool, threads: int) -> None:
    compare(variant, shape, dtype, ragged, threads)


@pytest.mark.parametrize("cell", OWN, ids=lambda cell: type(cell).__name__)
@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"bias": False}, id="no bias"),
        pytest.param({"bidirectional": True, "num_layers": 2}, id="two of each", marks=pytest.mark.slow),
    ],
)
@each_size
def test_every_declaration_agrees_with_eager(shapes: list[tuple[int, ...]], cell: Cell, options: dict[str, Any]) -> None:
    for shape in shapes[:2]:
        for lengths in (None, some_lengths(shape)):
            expected = compute(cell, "eager", shape, torch.float64, lengths, **options)
            agree(compute(cell, "cpu", shape, torch.float64, lengths, **options), expected, FLOAT64)


@pytest.mark.slow
@pytest.mark.parametrize("every", [1, 20, 1000])
@pytest.mark.parametrize("lengths", [None, some_lengths((5, 70))], ids=["whole", "lengths"])
def test_recomputing_changes_no_bit(every: int, lengths: Tensor | None) -> None:
    shape = (5, 70, 3, 20)
    for cell in (Variant("peephole", {}).cell(), Crossed(), ReadsCrossed(), ReadsRecurrentOnly(), *LATE, *REDUCING):
        full = compute(cell, "cpu", shape, torch.float32, lengths, checkpoint_every=1000)
        again = compute(cell, "cpu", shape, torch.float32, lengths, checkpoint_every=every)
        agree(again, full, EXACT)


@pytest.mark.parametrize("cell", [*(variant.cell() for variant in VARIANTS if variant.cell().memory), *OWN], ids=repr)
@pytest.mark.parametrize("lengths", [None, some_lengths((5, 30))], ids=["whole", "lengths"])
def test_nothing_depends_on_whether_gradients_are_wanted(cell: Cell, lengths: Tensor | None) -> None:
    """Without them less is kept: of a tape only the entries that are read."""
    rnn = RNN(cell, 3, 20, backend="cpu")
    x, state = normal(30, 5, 3).float(), tuple(part.float() for part in random_state(rnn, 5))
    with torch.no_grad():
        output, last, traces = rnn.trace(x, state, lengths)
    expected, expected_last, expected_traces = rnn.trace(x, state, lengths)
    assert expected.requires_grad
    assert torch.equal(output, expected)
    assert all(map(torch.equal, last, expected_last))
    for layer, groups in traces.items():
        for group, others in zip(groups, expected_traces[layer], strict=True):
            assert all(torch.equal(value, others[name]) for name, value in group.items())


@pytest.mark.parametrize("threads", [1, 2, 4])
@pytest.mark.parametrize("name", ["lstm", "attention"])
def test_the_same_bits_every_time(threads: int, name: str) -> None:
    torch.set_num_threads(threads)
    cell = Variant(name, {}).cell()
    first = compute(cell, "cpu", (33, 20, 4, 40), torch.float32)
    for _ in range(3):
        agree(compute(cell, "cpu", (33, 20, 4, 40), torch.float32), first, EXACT)


@pytest.mark.parametrize("name", ["peephole", "attention"])
@pytest.mark.parametrize("rows", [1, 40])
def test_replicas_are_separate_calls(name: str, rows: int) -> None:
    torch.set_num_threads(2)
    cell, single, whole = replicas(Variant(name, {}), bias=True)
    N, T, D, H = len(single), 6, single[0].W.shape[-1], single[0].b.shape[-1] // len(cell.gates)  # type: ignore[union-attr]
    x, s0 = normal(N, T, rows, D), tuple(normal(N, rows, H, seed=3 + part) for part in range(len(cell.state)))
    lengths = some_lengths((rows, T))

    def derivatives(weights: Weights, at: slice) -> list[Tensor]:
        inputs = [value.detach().requires_grad_() for value in (*weights.named().values(), x[at], *(part[at] for part in s0))]
        given = iter(inputs)
        own = Weights.of(cell, {name: next(given) for name in weights.named()})
        found = scan(cell, own, next(given), tuple(given), "cpu", lengths)
        loss = (found.output * normal(T, rows, 1, seed=7)).sum() + sum(part.sum() for part in found.state)
        return [found.output.detach(), *torch.autograd.grad(loss, inputs)]

    together = derivatives(whole, slice(None))
    for n in range(N):
        for all_of_it, alone in zip(together, derivatives(single[n], slice(n, n + 1)), strict=True):
            torch.testing.assert_close(all_of_it[n : n + 1], alone, rtol=FLOAT64, atol=FLOAT64)


def test_a_layout_is_kept_and_strides_do_not_matter() -> None:
    rnn = Variant("gru", {}).rnn(3, 5, backend="cpu", batch_first=True)
    x = normal(4, 6, 3)
    output, _ = rnn(x)
    assert output.is_contiguous()
    torch.testing.assert_close(rnn(x[..., [2, 1, 0]].flip(-1))[0], output, rtol=0, atol=EXACT)
    (gradient,) = torch.autograd.grad(rnn(x)[0].sum(), rnn.stack()[0].read("R"))  # the gradient of a sum has no strides at all
    (expected,) = torch.autograd.grad((rnn(x)[0] * torch.ones(4, 6, 5)).sum(), rnn.stack()[0].read("R"))
    torch.testing.assert_close(gradient, expected, rtol=0, atol=EXACT)


def test_a_graph_that_is_kept_gives_its_gradients_twice() -> None:
    for every in (None, 8):
        rnn = Variant("lstm", {}).rnn(3, 5, backend="cpu", checkpoint_every=every)
        output = rnn(normal(20, 2, 3))[0].sum()
        first = torch.autograd.grad(output, list(rnn.parameters()), retain_graph=True)
        second = torch.autograd.grad(output, list(rnn.parameters()))
        assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))
        with pytest.raises(RuntimeError, match="a second time"):
            torch.autograd.grad(output, list(rnn.parameters()))


def test_frozen_parameters_get_no_gradient() -> None:
    rnn = Variant("peephole", {}).rnn(3, 5, backend="cpu")
    layer: Any = rnn.layers["0"]
    everything = torch.autograd.grad(rnn(normal(6, 2, 3))[0].sum(), [layer.R, layer.p_f])
    for name in ("W", "b", "p_i", "p_o"):
        getattr(layer, name).requires_grad_(False)
    rnn(normal(6, 2, 3))[0].sum().backward()
    assert layer.W.grad is None
    assert torch.equal(layer.R.grad, everything[0])
    assert torch.equal(layer.p_f.grad, everything[1])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("name", "bias"), [("peephole", True), ("gru", True), ("gru", False), ("attention", True)])
def test_a_compiled_module_holds_the_kernel_in_its_graph(name: str, bias: bool) -> None:
    """One graph with nothing broken out of it; the same bits as without torch.compile, gradients included."""
    rnn = Variant(name, {}).rnn(3, 5, num_layers=2, bias=bias, bidirectional=True, backend="cpu", checkpoint_every=8)
    nodes: list[str] = []

    def compiler(graph: torch.fx.GraphModule, inputs: Any) -> Any:
        nodes.extend(str(node.target) for node in graph.graph.nodes)
        return aot_eager(graph, inputs)

    torch._dynamo.reset()
    aot_eager = torch._dynamo.lookup_backend("aot_eager")
    compiled = torch.compile(rnn, backend=compiler, fullgraph=True)
    for lengths in (None, torch.tensor([20, 7])):
        found = []
        for module in (compiled, rnn):
            x = normal(20, 2, 3).requires_grad_()
            output, last = module(x, lengths=lengths)
            gradients = torch.autograd.grad(output.square().sum() + last[0].sum(), [x, *rnn.parameters()])
            found.append((output, *last, *gradients))
        for one, other in zip(*found, strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=EXACT)
    assert nodes.count("gatelab.time_loop") == 2 * 4


def test_weights_move_between_backends() -> None:
    ours, eager = (Variant("gru", {}).rnn(3, 5, scale=scale, backend=backend) for scale, backend in ((0.5, "cpu"), (0.8, "eager")))
    eager.load_state_dict(ours.state_dict())
    x = normal(6, 2, 3)
    torch.testing.assert_close(ours(x)[0], eager(x)[0], rtol=FLOAT64, atol=FLOAT64)


@pytest.mark.parametrize(
    ("x", "reason"),
    [
        (torch.zeros(2, 1, 3, dtype=torch.bfloat16), "needs float32 or float64, but the tensors are bfloat16"),
        (torch.zeros(2, 1, 3, device="meta"), "runs on a CPU, but the tensors are on meta"),
    ],
    ids=["bfloat16", "meta"],
)
def test_what_it_cannot_serve_it_says(x: Tensor, reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        RNN("lstm", 3, 5, backend="cpu").to(x.device, x.dtype)(x)


def test_autocast_is_left_to_eager() -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16), pytest.raises(UserError, match="float32 or float64, but autocast is on"):
        RNN("lstm", 3, 5, backend="cpu")(torch.zeros(2, 1, 3))


def _in_child(queue: Any) -> None:
    torch.set_num_threads(1)  # as in a worker of a DataLoader: torch's own threads do not survive a fork
    torch.get_num_threads = lambda: 2  # ours must
    queue.put(compute(Variant("lstm", {}).cell(), "cpu", (8, 5, 3, 20), torch.float64).gradients["layers.0.R"].tolist())


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_process_computes_the_same() -> None:
    torch.set_num_threads(2)
    expected = compute(Variant("lstm", {}).cell(), "cpu", (8, 5, 3, 20), torch.float64).gradients["layers.0.R"].tolist()
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_in_child, args=(queue,), daemon=True)
    child.start()
    assert queue.get(timeout=300) == expected
    child.join()


@pytest.mark.slow
def test_without_a_compiler_eager_goes_on(tmp_path: Any) -> None:
    program = "import torch, gatelab; print(gatelab.RNN('lstm', 2, 3)(torch.zeros(4, 1, 2))[0].shape)"
    environment = {"PATH": str(tmp_path), "GATELAB_CACHE": str(tmp_path / "cache"), "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "torch.Size([4, 1, 3])\n"
    assert done.stderr.count("\n") == 1
    assert "Skipping backend 'cpu'" in done.stderr
    assert "compiler" in done.stderr
