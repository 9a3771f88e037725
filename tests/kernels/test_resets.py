"""Steps at which the state starts again, against the truth that knows none: every piece between two resets is a row of its own."""

import itertools
from typing import Any, NamedTuple

import pytest
import torch
from cells.variants import DEFAULTS, KINDS, Variant, each_default_few_quick, normal
from designs import over
from kernels.test_cpu import OWN, TOLERANCE, ReadsCrossed, poisoned, some_lengths  # noqa: F401 - `poisoned` is for all
from tolerances import EXACT, FLOAT64
from torch import Tensor

from gatelab.cells import Cell, operand_shapes
from gatelab.errors import UserError
from gatelab.kernels import Flow, Scan, Weights, reversed_resets, scan


class Case(NamedTuple):
    """Sizes and settings of one call."""

    N: int
    B: int
    T: int
    H: int
    lengths: bool = False
    restart: bool = True
    every: int | None = None  # of 33 rows and 40 steps, 1 makes three segments
    threads: int = 1


CASES = (
    Case(1, 1, 1, 1),
    Case(2, 3, 7, 5, lengths=True, threads=2),
    Case(1, 3, 40, 17, restart=False),
    Case(2, 33, 40, 5, lengths=True, every=1, threads=2),
)
D = 3


class Given(NamedTuple):
    """The tensors of a call, leaves that gradients are taken of, and what has none."""

    x: Tensor
    weights: dict[str, Tensor]
    s0: tuple[Tensor, ...]
    restart: tuple[Tensor, ...] | None
    resets: Tensor
    lengths: Tensor | None

    def tensors(self) -> list[Tensor]:
        return [self.x, *self.weights.values(), *self.s0, *(self.restart or ())]


def given(cell: Cell, case: Case, dtype: torch.dtype) -> Given:
    """The same numbers in every dtype."""
    N, B, T, H = case[:4]

    def leaf(*shape: int, seed: int, scale: float = 1.0, positive: bool = False) -> Tensor:
        value = normal(*shape, seed=seed) * scale
        return (value.abs() + 0.25 if positive else value).to(dtype).requires_grad_()

    weights = {
        name: leaf(N, *shape, seed=10 + number, scale=0.5 if len(shape) == 1 else (D + H) ** -0.5)
        for number, (name, shape) in enumerate(operand_shapes(cell, D, H).items())
    }
    parts = range(len(cell.state))  # what a cell divides by is positive, as in `random_state`
    s0, restart = (tuple(leaf(N, B, H, seed=seed + q, scale=0.5, positive=q > 1) for q in parts) for seed in (40, 50))
    resets = normal(B, T, seed=60) > 0.6  # every fourth step, and a row of each kind:
    resets[0, 0] = True
    if B > 2:
        resets[1], resets[2] = False, True
    lengths = some_lengths((B, T)) if case.lengths else None
    return Given(leaf(N, T, B, D, seed=1), weights, s0, restart if case.restart else None, resets, lengths)


def run(cell: Cell, what: Given, backend: str, flow: Flow | None, every: int | None = None, resets: bool = True) -> Scan:
    boundaries = (what.resets, what.restart) if resets else (None, None)
    return scan(cell, Weights.of(cell, what.weights), what.x, what.s0, backend, what.lengths, True, every, flow, *boundaries)


class Piece(NamedTuple):
    """Steps of a row with no reset between them."""

    row: int
    start: int
    end: int


def pieces_of(resets: Tensor, lengths: Tensor | None) -> list[Piece]:
    B, T = resets.shape
    ends = [T] * B if lengths is None else lengths.tolist()
    found = []
    for row, end in enumerate(ends):
        cuts = [0, *(t for t in range(1, end) if resets[row, t]), end]
        found += [Piece(row, *both) for both in itertools.pairwise(cuts)]
    return found


class Apart:
    """What a call with resets must give, from one eager call without: its rows are the pieces."""

    def __init__(self, cell: Cell, what: Given) -> None:
        T, B = what.x.shape[1:3]
        pieces = pieces_of(what.resets, what.lengths)
        rows, starts, ends = (torch.tensor(column) for column in zip(*pieces, strict=True))
        # Where a step of a row is among the pieces.
        self.piece, self.step = torch.zeros(T, B, dtype=torch.int64), torch.zeros(T, B, dtype=torch.int64)
        self.alive, self.last_piece = torch.zeros(T, B, 1, dtype=torch.bool), torch.zeros(B, dtype=torch.int64)
        for index, (row, start, end) in enumerate(pieces):
            self.piece[start:end, row], self.step[start:end, row] = index, torch.arange(end - start)
            self.alive[start:end, row], self.last_piece[row] = True, index
        steps = (starts + torch.arange(int((ends - starts).max()))[:, None]).clamp(max=T - 1)
        restart = what.restart or tuple(map(torch.zeros_like, what.s0))
        new = what.resets[rows, starts][:, None]
        s0 = tuple(torch.where(new, *(part[:, rows] for part in both)) for both in zip(restart, what.s0, strict=True))
        self.flow = Flow()
        self.scan = scan(
            cell, Weights.of(cell, what.weights), what.x[:, steps, rows], s0, "eager", ends - starts, True, None, self.flow
        )

    def joined(self, value: Tensor) -> Tensor:
        """(N, T, B, H) from steps of the pieces, zeros behind the end of a row."""
        return torch.where(self.alive, value[:, self.step, self.piece], 0)

    def last(self) -> tuple[Tensor, ...]:
        return tuple(part[:, self.last_piece] for part in self.scan.state)


def results(what: Given, output: Tensor, last: tuple[Tensor, ...], inside: list[Tensor], flow: Any) -> list[Tensor]:
    """All values, all gradients of a sum over them, and dL/ds(t)."""
    values = [output, *last, *inside]
    scales = [normal(*value.shape, seed=70 + number).to(value.dtype) for number, value in enumerate(values)]
    loss = sum((value * scale).sum() for value, scale in zip(values, scales, strict=True))
    gradients = torch.autograd.grad(loss, what.tensors(), allow_unused=True, materialize_grads=True)  # type: ignore[arg-type]
    return [value.detach() for value in (*values, *gradients, *flow())]


def inside_of(result: Scan) -> list[Tensor]:
    assert result.record is not None
    return [*result.record.a.values(), *result.record.s.values()]


def truth(cell: Cell, what: Given) -> list[Tensor]:
    apart = Apart(cell, what)
    inside = [apart.joined(value) for value in inside_of(apart.scan)]
    flow = lambda: [apart.joined(apart.flow.cotangents[name]) for name in cell.state]  # noqa: E731
    return results(what, apart.joined(apart.scan.output), apart.last(), inside, flow)


def ours(cell: Cell, what: Given, backend: str, every: int | None = None, resets: bool = True) -> list[Tensor]:
    flow = Flow()
    result = run(cell, what, backend, flow, every, resets)
    N, T, B = what.x.shape[:3]
    alive = torch.ones(N, T, B, 1, dtype=torch.bool)
    if what.lengths is not None:
        alive = alive & (torch.arange(T)[:, None] < what.lengths)[..., None]
    inside = [torch.where(alive, value, 0) for value in inside_of(result)]
    return results(what, result.output, result.state, inside, lambda: [flow.cotangents[name] for name in cell.state])


def agree(found: list[Tensor], expected: list[Tensor], tolerance: float) -> None:
    for one, other in zip(found, expected, strict=True):
        scale = max(1.0, torch.where(other.isfinite(), other, 0).abs().max().item())
        torch.testing.assert_close(one.to(other.dtype), other, rtol=0, atol=tolerance * scale, equal_nan=True)


SIZES = [pytest.param(CASES[:2], id="small"), pytest.param(CASES[2:], id="large", marks=pytest.mark.slow)]


def check(cell: Cell, cases: tuple[Case, ...], dtype: torch.dtype) -> None:
    for case in cases:
        expected = truth(cell, given(cell, case, torch.float64))
        what = given(cell, case, dtype)
        if dtype == torch.float64:
            agree(ours(cell, what, "eager"), expected, FLOAT64)
        torch.set_num_threads(case.threads)
        agree(ours(cell, what, "cpu", case.every), expected, TOLERANCE[dtype])
        torch.set_num_threads(1)


@each_default_few_quick
def test_every_cell_is_its_pieces(variant: Variant) -> None:
    check(variant.cell(), CASES[:2], torch.float64)


@over("variant", DEFAULTS, size=[pytest.param(CASES[:2], id="small"), pytest.param(CASES[2:], id="large")], dtype=TOLERANCE)
def test_every_cell_in_both_number_formats(variant: Variant, size: tuple[Case, ...], dtype: torch.dtype) -> None:
    check(variant.cell(), size, dtype)


@over("variant", [variant for variant in KINDS if variant not in DEFAULTS], rows=1, case=CASES)
def test_every_kind_of_option(variant: Variant, case: Case) -> None:
    check(variant.cell(), (case,), torch.float64)


CELLS = [Variant(name, {}).cell() for name in ("lstm", "gru")] + OWN


@pytest.mark.parametrize("cell", OWN, ids=lambda cell: type(cell).__name__)
@pytest.mark.parametrize("cases", SIZES)
def test_every_declaration_is_its_pieces(cases: tuple[Case, ...], cell: Cell) -> None:
    check(cell, cases, torch.float64)


def test_what_is_cut_off_may_be_nan() -> None:
    """The initial state of a row that restarts at once, and `restart` of a row that never does, are not read."""
    case = CASES[3]
    for cell in CELLS:
        what = given(cell, case, torch.float64)
        assert what.lengths is not None and what.restart is not None
        what.resets[:, 0] = torch.arange(case.B) % 2 == 0
        for row in range(case.B):
            if row % 4 == 1:  # resets behind the end only
                what.resets[row, : what.lengths[row]] = False
                what.resets[row, what.lengths[row] :] = True
        never = ~torch.stack([what.resets[row, :end].any() for row, end in enumerate(what.lengths)])
        with torch.no_grad():
            for start, again in zip(what.s0, what.restart, strict=True):
                start[:, what.resets[:, 0]] = torch.nan
                again[:, never] = torch.inf
        assert never.sum() > 3
        expected = truth(cell, what)
        for backend, every in (("eager", None), ("cpu", None), ("cpu", 1)):
            found = ours(cell, what, backend, every)
            agree(found, expected, FLOAT64)
            values = found[: 1 + 3 * len(cell.state) + len(cell.gates)]
            assert all(value.isfinite().all() for value in values)
            gradients = found[len(found) - len(cell.state) - len(what.tensors()) :]
            assert all(value.isfinite().all() for value in gradients)


def test_nan_does_not_pass_a_reset() -> None:
    """Inputs of NaN up to a reset: values and derivatives behind it are those of a call that begins there."""
    T, B, H, cut = 20, 3, 5, 11
    for cell in CELLS:
        what = given(cell, Case(1, B, T, H), torch.float64)
        what.resets[:, :cut], what.resets[:, cut] = False, True
        assert what.restart is not None
        late = given(cell, Case(1, B, T, H), torch.float64)._replace(x=what.x.detach()[:, cut:].requires_grad_(), s0=what.restart)
        late = late._replace(resets=what.resets[:, cut:])
        with torch.no_grad():
            what.x[:, :cut] = torch.nan
        for backend in ("eager", "cpu"):
            found, expected = run(cell, what, backend, None), run(cell, late, "eager", None)
            agree([found.output[:, cut:], *found.state], [expected.output, *expected.state], FLOAT64)
            seen = [
                torch.autograd.grad(
                    result.output[:, -(T - cut) :].sum(),
                    [leaves.x, *leaves.restart],  # type: ignore[misc]
                    allow_unused=True,
                    materialize_grads=True,
                )
                for result, leaves in ((found, what), (expected, late))
            ]
            agree([seen[0][0][:, cut:], *seen[0][1:]], list(seen[1]), FLOAT64)


def test_nan_does_not_pass_a_reset_backwards() -> None:
    """Inputs of NaN from a reset on: derivatives before it are those of a call that ends there."""
    T, cut = 20, 11
    for cell in CELLS:
        what = given(cell, Case(1, 3, T, 5), torch.float64)
        what.resets[:, cut] = True
        early = what._replace(x=what.x.detach()[:, :cut].clone().requires_grad_(), resets=what.resets[:, :cut])
        with torch.no_grad():
            what.x[:, cut:] = torch.nan
        expected = torch.autograd.grad(run(cell, early, "eager", None).output.sum(), [early.x, *early.s0], materialize_grads=True)
        for backend in ("eager", "cpu"):
            found = run(cell, what, backend, None)
            loss = found.output.sum() + sum(part.sum() for part in found.state)
            x, *s0 = torch.autograd.grad(loss, [what.x, *what.s0], materialize_grads=True)
            agree([x[:, :cut], *s0], list(expected), FLOAT64)


def test_no_bit_depends_on_how_resets_are_computed() -> None:
    """Segments that are computed twice; and resets that are all false against none."""
    for cell in CELLS:
        what = given(cell, CASES[3], torch.float32)
        agree(ours(cell, what, "cpu", every=1), ours(cell, what, "cpu"), EXACT)
        never = what._replace(resets=torch.zeros_like(what.resets))
        agree(ours(cell, never, "cpu"), ours(cell, what, "cpu", resets=False), EXACT)


def test_the_reverse_direction_restarts_at_the_same_boundaries() -> None:
    resets = normal(20, 13, seed=3) > 0.5
    for lengths in (None, some_lengths((20, 13))):
        ends = torch.full((20,), 13) if lengths is None else lengths
        there = {(row, *range(start, end)) for row, start, end in pieces_of(resets, lengths)}
        back = reversed_resets(resets, lengths)
        assert back.shape == resets.shape
        assert back.dtype == torch.bool
        assert not back[:, 0].any()
        turned = {(row, *range(int(ends[row]) - end, int(ends[row]) - start)) for row, start, end in pieces_of(back, lengths)}
        assert turned == there
        again = reversed_resets(back, lengths)
        inside = (torch.arange(13) > 0) & (torch.arange(13) < ends[:, None])
        assert torch.equal(again, resets & inside)
        assert not back[torch.arange(13) >= ends[:, None]].any()


# What torch does with a call.


def test_derivatives_of_derivatives_and_outputs_modified_in_place() -> None:
    """Both make the compiled loop's node compute again: with the same resets."""
    case = Case(2, 3, 7, 5, lengths=True)
    for cell in CELLS:
        found = {}
        for backend in ("eager", "cpu"):
            what = given(cell, case, torch.float64)
            result = run(cell, what, backend, None)
            inputs = [leaf for leaf in what.tensors() if leaf is not what.x or cell.input_gates or cell.memory]
            loss = result.output.square().sum() + sum(part.sin().sum() for part in result.state)
            first = torch.autograd.grad(loss, inputs, create_graph=True)
            second = torch.autograd.grad(sum((part * part).sum() for part in first), inputs)  # type: ignore[arg-type]
            changed = run(cell, what, backend, None).output
            factor = changed.detach().clone()
            changed.mul_(2)
            found[backend] = [*first, *second, *torch.autograd.grad((changed * factor).sum(), inputs)]
        agree(found["cpu"], found["eager"], FLOAT64)


@pytest.mark.parametrize("backend", ["cpu", "eager"])
def test_lengths_and_resets_may_be_overwritten_before_the_backward_pass(backend: str) -> None:
    """Buffers of an environment are."""
    cell = Variant("lstm", {}).cell()
    for case in (Case(1, 1, 9, 5), Case(1, 3, 9, 5, lengths=True)):
        found = []
        for overwrite in (False, True):
            what = given(cell, case, torch.float64)
            output = run(cell, what, backend, None).output
            if overwrite:
                what.resets.logical_not_()
                if what.lengths is not None:
                    what.lengths.fill_(1)
            found.append([*torch.autograd.grad(output.square().sum(), what.tensors())])
        agree(found[1], found[0], EXACT)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_resets_that_are_mapped_over() -> None:
    cell = Variant("lstm", {}).cell()
    what = given(cell, Case(1, 3, 7, 5), torch.float64)
    weights, many = Weights.of(cell, what.weights), torch.stack([what.resets, ~what.resets])

    def output(resets: Tensor) -> Tensor:
        return scan(cell, weights, what.x, what.s0, "auto", resets=resets, restart=what.restart).output

    agree([torch.vmap(output)(many)], [torch.stack([output(resets) for resets in many])], FLOAT64)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("cell", [Variant("lstm", {}).cell(), ReadsCrossed()], ids=lambda cell: type(cell).__name__)
def test_a_graph_holds_the_kernel_with_its_resets(cell: Cell) -> None:
    torch._dynamo.reset()
    for restart in (True, False):
        what = given(cell, Case(1, 3, 20, 5, lengths=True, restart=restart), torch.float64)

        def call(what: Given = what) -> tuple[Tensor, ...]:
            options = {"resets": what.resets, "restart": what.restart}
            result = scan(cell, Weights.of(cell, what.weights), what.x, what.s0, "cpu", what.lengths, False, 8, None, **options)
            return result.output, *result.state

        found = []
        for function in (call, torch.compile(call, backend="aot_eager", fullgraph=True)):
            values = function()
            gradients = torch.autograd.grad(sum(value.square().sum() for value in values), what.tensors())  # type: ignore[arg-type]
            found.append([*values, *gradients])
        agree(found[0], found[1], EXACT)


def test_a_batch_without_rows_has_no_resets() -> None:
    cell = Variant("lstm", {}).cell()
    what = given(cell, Case(1, 3, 7, 5), torch.float32)
    empty = what._replace(
        x=what.x[:, :, :0],
        s0=tuple(part[:, :0] for part in what.s0),
        restart=tuple(part[:, :0] for part in what.restart or ()),
        resets=what.resets[:0],
    )
    assert run(cell, empty, "cpu", None).output.shape == (1, 7, 0, 5)


@pytest.mark.parametrize("backend", ["cpu", "eager"])
def test_resets_that_do_not_fit_are_refused(backend: str) -> None:
    cell = Variant("lstm", {}).cell()
    what = given(cell, Case(1, 3, 7, 5), torch.float32)
    assert what.restart is not None
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"resets": what.resets.mT}, r"resets must be booleans of shape \(B, T\) = \(3, 7\), but they are bool of shape \(7, 3\)"),
        ({"resets": what.resets.long()}, r"but they are int64 of shape \(3, 7\)"),
        ({"restart": what.restart[:1]}, "The restart has 1 parts, but LSTM carries h, c"),
        ({"restart": tuple(part[:, :2] for part in what.restart)}, r"The restart state h has shape \(2, 5\)"),
        ({"restart": tuple(part.double() for part in what.restart)}, "The restart state h is float64"),
    ]
    for change, message in wrong:
        with pytest.raises(UserError, match=message):
            run(cell, what._replace(**change), backend, None)
