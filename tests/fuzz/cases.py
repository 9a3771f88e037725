"""One call of `gatelab.RNN` in any way that a user could make it, and what the eager loop in float64 makes of it."""

import dataclasses
import functools
from dataclasses import dataclass
from typing import Any

import torch
from cells.variants import VARIANTS, normal
from fuzz.drawn import drawn_cell
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize, prune

from gatelab.cells import Cell
from gatelab.errors import UserError
from gatelab.models import RNN

DRAWN = 24  # cells drawn at random; each is compiled once a machine
WRONG = ("float64", "float32", "float16", "bfloat16", "int64", "bool", "meta", "sparse", "short", "none")
LAYOUTS = ("plain", "sliced", "expanded", "transposed", "negated")
USES = ("gradients", "gradients", "gradients", "inference", "twice", "in place", "second", "batched", "vmap", "jvp", "functional")
CHANGES = ("identity", "weight_norm", "pruned", "computed")


@dataclass(frozen=True)
class Case:
    """Plain values, so that the text of a case is a test."""

    cell: int  # of VARIANTS, and behind them of the drawn ones
    double: bool = False
    T: int = 3
    B: int = 2
    D: int = 3
    H: int = 5
    layers: int = 1
    both: bool = False
    batch_first: bool = False
    bias: bool = True
    single: bool = False
    layout: str = "plain"
    state: str = "none"  # none, given, shared, sliced
    lengths: tuple[int, ...] | None = None
    resets: int | None = None  # seed of the mask
    restart: bool = False
    every: int | None = None
    threads: int = 1
    use: str = "gradients"
    frozen: int = 0  # bits: which sources have no gradient
    change: tuple[int, str] | None = None  # a weight by number, and what is done to it
    wrong: tuple[int, str] | None = None  # an argument by number, and what is wrong with it
    seed: int = 0


@st.composite
def cases(draw: Any) -> Case:
    cell = draw(st.integers(0, len(VARIANTS) + DRAWN - 1))
    T = draw(st.sampled_from((1, 2, 3, 7, 16, 33)))
    B = draw(st.sampled_from((1, 2, 3, 5, 17, 33, 0)))
    single = B == 1 and draw(st.booleans())
    lengths = None
    if draw(st.integers(0, 2)) == 0 and B:
        low = 0 if draw(st.integers(0, 19)) == 0 else 1
        lengths = tuple(draw(st.lists(st.integers(low, T), min_size=B, max_size=B)))
    rarely = st.integers(0, 5)
    wrong = (draw(st.integers(0, 9)), draw(st.sampled_from(WRONG))) if draw(rarely) == 0 else None
    return Case(
        cell=cell,
        double=draw(st.booleans()) or (cell >= len(VARIANTS) and (cell - len(VARIANTS)) % 2 == 1),
        T=T,
        B=B,
        D=draw(st.sampled_from((1, 2, 3, 8, 17))),
        H=draw(st.sampled_from((1, 2, 3, 5, 8, 15, 16, 17, 33))),
        layers=draw(st.sampled_from((1, 1, 1, 2))),
        both=draw(st.integers(0, 3)) == 0,
        batch_first=draw(st.booleans()),
        bias=draw(st.integers(0, 4)) > 0,
        single=single,
        layout=draw(st.sampled_from(LAYOUTS)),
        state=draw(st.sampled_from(("none", "given", "shared", "sliced"))),
        lengths=lengths,
        resets=draw(st.integers(0, 99)) if draw(rarely) == 0 else None,
        restart=draw(st.booleans()),
        every=draw(st.sampled_from((None, None, 1, 3, 8))),
        threads=draw(st.sampled_from((1, 2))),
        use="gradients" if wrong else draw(st.sampled_from(USES)),  # the others make something else of an argument first
        frozen=draw(st.integers(0, 255)) if draw(rarely) == 0 else 0,
        # Hooks and parametrisations compute a weight again, over what was put in its place.
        change=None if wrong or draw(rarely) else (draw(st.integers(0, 9)), draw(st.sampled_from(CHANGES))),
        wrong=wrong,
        seed=draw(st.integers(0, 10**6)),
    )


@functools.cache
def cell_of(case_cell: int) -> Cell:
    return VARIANTS[case_cell].cell() if case_cell < len(VARIANTS) else drawn_cell(case_cell - len(VARIANTS))


@dataclass
class Built:
    """A network and what it is given; `sources` are what gradients are taken by, by name."""

    rnn: RNN
    x: Tensor
    hx: tuple[Tensor, ...] | None
    lengths: Tensor | None
    resets: Tensor | None
    restart: tuple[Tensor, ...] | None
    sources: dict[str, Tensor]

    def call(self, **changes: Any) -> list[Tensor]:
        output, last = self.rnn(**(self.arguments() | changes))
        return [output, *last]

    def arguments(self) -> dict[str, Any]:
        names = {"input": "x", "hx": "hx", "lengths": "lengths", "resets": "resets", "restart": "restart"}
        return {name: getattr(self, own) for name, own in names.items()}


def build(case: Case, dtype: torch.dtype, backend: str, plainly: bool, nudge: float = 0.0) -> Built:
    """Plainly: contiguous, nothing wrong. `nudge`: by how much weights are off, relative to what they are."""
    cell = cell_of(case.cell)
    rnn = RNN(
        cell, case.D, case.H, case.layers, case.bias, case.batch_first, 0.0, case.both, backend, None if plainly else case.every,
        dtype=dtype,
    )  # fmt: skip
    with torch.no_grad():
        for number, parameter in enumerate(rnn.parameters()):
            parameter.copy_(0.4 * (1 + nudge) * normal(*parameter.shape, seed=case.seed + number))
    shape = (case.T, case.D) if case.single else (case.B, case.T, case.D) if case.batch_first else (case.T, case.B, case.D)
    values = normal(*shape, seed=case.seed + 100)
    if case.layout == "expanded":
        values = values[:1].expand(shape).clone()
    x = values.to(dtype)
    parts = len(cell.state)
    hx = None
    if case.state != "none":
        at = (len(rnn.layers), case.H) if case.single else (len(rnn.layers), case.B, case.H)
        seeds = [case.seed + 200 + (0 if case.state == "shared" else part) for part in range(parts)]
        shared = case.state == "shared" and parts > 2
        hx = tuple(_part(at, seed, part > 1 or shared).to(dtype) for part, seed in enumerate(seeds))
        if case.state == "shared":
            hx = (hx[0],) * parts
    lengths = None if case.lengths is None else torch.tensor(case.lengths)
    resets = restart = None
    if case.resets is not None:
        resets = normal(*((case.T,) if case.single else (case.B, case.T)), seed=case.resets) > 0.8
        if case.restart:
            at = (len(rnn.layers), case.H) if case.single else (len(rnn.layers), case.B, case.H)
            restart = tuple(_part(at, case.seed + 300 + part, part > 1).to(dtype) for part in range(parts))
    built = Built(rnn, x, hx, lengths, resets, restart, {})
    if not plainly:
        _lay_out(built, case)
    _name_sources(built, case, plainly)
    return built


def _part(shape: tuple[int, ...], number: int, positive: bool) -> Tensor:
    """A part of a state; what a cell may divide by is positive and not near 0, as by itself (`cells.variants.random_state`)."""
    value = torch.tanh(normal(*shape, seed=number))
    return value.abs() + 0.25 if positive else value


def _lay_out(built: Built, case: Case) -> None:
    x = built.x
    if case.layout == "sliced":
        x = torch.stack([x, x + 1], -1)[..., 0]
    elif case.layout == "expanded" and len(x):
        x = x[:1].clone().expand(x.shape)
    elif case.layout == "transposed":
        x = x.transpose(0, -1).contiguous().transpose(0, -1)
    elif case.layout == "negated":
        x = torch._neg_view(-x)  # type: ignore[attr-defined]
    built.x = x
    if case.state == "sliced" and built.hx is not None:
        built.hx = tuple(torch.stack([part, part], -1)[..., 0] for part in built.hx)


def _name_sources(built: Built, case: Case, plainly: bool) -> None:
    rnn = built.rnn
    named: dict[str, Tensor] = {"x": built.x.detach()}
    if built.hx is not None:
        named |= {f"h{n}": part.detach() for n, part in enumerate(built.hx)}
        if case.state == "shared":
            named = {"x": named["x"], "h0": named["h0"]}
    if built.restart is not None:
        named |= {f"restart{n}": part.detach() for n, part in enumerate(built.restart)}
        built.restart = tuple(named[f"restart{n}"] for n in range(len(built.restart)))
    for value in named.values():
        value.requires_grad_(True)
    built.x = named["x"]
    if built.hx is not None:
        built.hx = tuple(named["h0" if case.state == "shared" else f"h{n}"] for n in range(len(built.hx)))
    if case.change is not None:
        _change(rnn, case, plainly)
    named |= dict(rnn.named_parameters())
    for bit, value in enumerate(named.values()):
        if case.frozen >> (bit % 8) & 1:
            value.requires_grad_(False)
    built.sources = {name: value for name, value in named.items() if value.requires_grad}


def _change(rnn: RNN, case: Case, plainly: bool) -> None:
    """The same change in both: on the plain side the eager loop reads attributes, too."""
    assert case.change is not None
    number, kind = case.change
    layer = rnn.stack()[number % len(rnn.layers)]
    names = [name for name in layer.shapes if len(layer.shapes[name]) == 2] if kind == "weight_norm" else list(layer.shapes)
    if not names:
        return
    name = names[number % len(names)]
    if kind == "identity":
        parametrize.register_parametrization(layer, name, nn.Identity())
    elif kind == "weight_norm":
        parametrizations.weight_norm(layer, name)
    elif kind == "pruned":
        prune.l1_unstructured(layer, name, 0.5)
    else:
        source = nn.Parameter(layer.read(name).detach() / 2)
        delattr(layer, name)
        layer.register_parameter("source", source)
        setattr(layer, name, source * 2)


def spoil(built: Built, case: Case) -> bool:
    """Makes one argument wrong; whether anything was."""
    if case.wrong is None:
        return False
    number, kind = case.wrong
    layer = built.rnn.stack()[0]
    places = ["x", *(f"h{n}" for n in range(len(built.hx or ()))), *layer.shapes]
    place = places[number % len(places)]

    def wrong(value: Tensor) -> Any:
        value = value.detach()
        if kind == "meta":
            return value.to("meta")
        if kind == "sparse":
            return value.to_sparse() if value.dim() else value
        if kind == "short":
            return value[..., :-1]
        if kind == "none":
            return None
        return value.to(getattr(torch, kind))

    if place == "x":
        built.x = wrong(built.x)
    elif place.startswith("h") and place not in layer.shapes:
        assert built.hx is not None
        built.hx = tuple(wrong(part) if f"h{n}" == place else part for n, part in enumerate(built.hx))
    else:
        value = wrong(layer.read(place))
        if parametrize.is_parametrized(layer, place):
            parametrize.remove_parametrizations(layer, place)
        delattr(layer, place)
        setattr(layer, place, value)
    return True


def computed(built: Built, case: Case, seed: int) -> list[Tensor | None]:
    """Values and gradients in the way that the case uses the network."""
    if case.use == "inference":
        with torch.inference_mode():
            return [*built.call()]
    if case.use == "vmap":
        return _mapped(built, case)
    if case.use == "jvp":
        direction = normal(*built.x.shape, seed=seed).to(built.x.dtype)
        value, tangent, *_ = torch.func.jvp(lambda one: built.call(input=one)[0], (built.x.detach().clone(),), (direction,))
        return [value, tangent]
    if case.use == "functional":
        doubled = {name: value * 1.5 for name, value in built.rnn.named_parameters()}
        output, last = torch.func.functional_call(built.rnn, doubled, (), built.arguments())
        return [output, *last]
    results = built.call()
    values = [value.detach().clone() for value in results]
    sources = list(built.sources.values())
    if case.use == "in place":
        results = [results[0].mul_(2).add_(1), *(part.mul_(0.5) for part in results[1:])] if results[0].requires_grad else results
    if not sources or not any(value.requires_grad for value in results):
        return list(values)
    loss: Any = sum((value * normal(*value.shape, seed=seed + n).to(value.dtype)).sum() for n, value in enumerate(results))
    if case.use == "batched":
        seeds = torch.stack([normal(*results[0].shape, seed=seed + n).to(results[0].dtype) for n in range(2)])
        if not results[0].requires_grad:
            return list(values)
        return [*values, *torch.autograd.grad(results[0], sources, seeds, is_grads_batched=True, allow_unused=True)]
    if case.use == "second":
        first = torch.autograd.grad(loss, sources, create_graph=True, allow_unused=True)
        penalty = [value.square().sum() for value in first if value is not None and value.requires_grad]
        second = torch.autograd.grad(sum(penalty), sources, allow_unused=True) if penalty else ()  # type: ignore[arg-type]
        return [*values, *(value if value is None else value.detach() for value in first), *second]
    found = torch.autograd.grad(loss, sources, retain_graph=case.use == "twice", allow_unused=True)  # type: ignore[arg-type]
    if case.use == "twice":
        found = torch.autograd.grad(loss, sources, allow_unused=True)  # type: ignore[arg-type]
    return [*values, *found]


def _mapped(built: Built, case: Case) -> list[Tensor | None]:
    if built.hx is not None and case.seed % 2:
        many = torch.stack([built.hx[0].detach(), built.hx[0].detach() * 0.5])
        others = built.hx[1:]
        return [torch.vmap(lambda h: built.call(hx=(h, *others))[0])(many)]
    return [torch.vmap(lambda one: built.call(input=one)[0])(torch.stack([built.x.detach(), built.x.detach() * 0.5]))]


def run(case: Case) -> str:
    """ "ok", "refused: ..." or "differs: ..."."""
    torch.set_num_threads(case.threads)
    dtype = torch.float64 if case.double else torch.float32
    built = build(case, dtype, "auto", False)
    spoiled = spoil(built, case)
    try:
        ours = computed(built, case, case.seed + 500)
    except UserError as error:
        text = str(error)
        valid = not spoiled and (case.lengths is None or min(case.lengths) > 0)
        return f"differs: refused a valid call: {text}" if valid else f"refused: {text}"
    if spoiled:
        return _spoiled_but_served(built, case)
    truth = computed(build(case, torch.float64, "eager", True), case, case.seed + 500)
    # How far rounding takes the same loop away: in float32 as it does, in float64 as weights do that are 4 ulp off.
    nudge = 4 * torch.finfo(dtype).eps if case.double else 0.0
    low = computed(build(case, dtype, "eager", True, nudge), case, case.seed + 500)
    return _compared(ours, truth, low, dtype)


def _spoiled_but_served(built: Built, case: Case) -> str:
    """What is wrong for one network is right for another: the number format that it has anyway, an empty bias."""
    assert case.wrong is not None
    same = case.wrong[1] == ("float64" if case.double else "float32") or case.wrong[1] == "sparse"
    return "ok" if same or built.x.numel() == 0 else f"differs: {case.wrong} was accepted"


def _compared(ours: list[Tensor | None], truth: list[Tensor | None], low: list[Tensor | None], dtype: torch.dtype) -> str:
    """Within 50 times of what rounding makes of the eager loop, or 200 ulp of the largest number.

    Where the truth is exactly 0 (the gradient of a vector whose uses cancel) its own size says nothing of the terms that were
    added up; the largest of all results does.
    """
    if len(ours) > len(truth):  # the eager loop knows that no value depends on what has a gradient
        truth, low = ([*of, *[None] * (len(ours) - len(of))] for of in (truth, low))
    if len(ours) < len(truth):
        return f"differs: {len(ours)} results, expected {len(truth)}"
    largest = max((float(other.abs().max()) for other in truth if other is not None and other.numel()), default=0.0)
    for number, (one, other, rounded) in enumerate(zip(ours, truth, low, strict=True)):
        if one is None or other is None:
            if (one is None) != (other is None):
                given = one if other is None else other
                if given is not None and given.any():
                    return f"differs: result {number} is {'absent' if one is None else 'there'}"
            continue
        if one.shape != other.shape or one.dtype != dtype:
            return f"differs: result {number} has {tuple(one.shape)} {one.dtype}, expected {tuple(other.shape)} {dtype}"
        if not one.numel():
            continue
        assert rounded is not None
        size = 1 + float(other.abs().max() if other.any() else largest)
        allowed = 200 * torch.finfo(dtype).eps * size + 50 * float((rounded.double() - other).abs().max())
        away = float((one.double() - other).abs().max())
        if not away <= allowed:
            return f"differs: result {number} by {away:.3g}, allowed {allowed:.3g}, of at most {size:.3g}"
    return "ok"


def text_of(case: Case) -> str:
    """The case as it is written in a test: what differs from the defaults."""
    plain = {field.name: field.default for field in dataclasses.fields(Case)}
    given = {name: value for name, value in dataclasses.asdict(case).items() if value != plain[name]}
    return f"Case({', '.join(f'{name}={value!r}' for name, value in given.items())})"
