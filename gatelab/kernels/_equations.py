"""The equations of a cell as a graph, and its plan: what a step keeps for its adjoint, and in which pass over the units."""

import dataclasses
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field

import torch
from torch import fx

from gatelab.cells import Cell, reads_of

_aten = torch.ops.aten

# Worth storing: recomputing one of these costs more than reading its value from memory.
COSTLY = frozenset(
    getattr(_aten, name).default
    for name in ("sigmoid", "tanh", "exp", "expm1", "log", "log1p", "sin", "cos", "erf", "atan", "sqrt", "rsqrt")
)


@dataclass(frozen=True)
class Equations:
    """One step and its adjoint, in one graph.

    Attributes:
        inputs: nodes of pre-activations, state, vectors, results of reductions and cotangents of the new state, of values for late
            products and of arguments of reductions: ("a", "i"), ("s", "c"), ("p", "p_i"), ("r", "0"), ("ds", "c"), ("dv", "v"),
            ("dq", "0").
        outputs: nodes of the new state, of the values, of the arguments of reductions and of the cotangents: ("s", "c"),
            ("v", "v"), ("q", "0"), ("da", "i"), ("ds", "c"), ("dp", "p_i"), ("dr", "0").
        saved: what the step keeps for its adjoint, besides the state before it; in the order in which it is known.
        known_at: for each of `saved` the number of values' stages that pass before it is computed.
        reads: the parts of the state before the step that the adjoint reads.
        reductions: the names of the functions over units, each with its own argument; their numbers are those of "r" and "q".
        stage: the pass over the units in which a value or an argument of a reduction is computed, counted from 1: ("v", "v"),
            ("q", "0"); and behind which a pre-activation is known: ("a", "i"), 0 for those of the first product.
        stages: the passes before the last, which computes the new state.
    """

    inputs: Mapping[tuple[str, str], fx.Node]
    outputs: Mapping[tuple[str, str], fx.Node]
    saved: tuple[fx.Node, ...]
    reads: frozenset[str]
    known_at: tuple[int, ...] = ()
    reductions: tuple[str, ...] = ()
    stage: Mapping[tuple[str, str], int] = field(default_factory=dict)
    stages: int = 0

    def needed(self, results: Iterable[fx.Node], known: Collection[fx.Node]) -> list[fx.Node]:
        """The nodes to compute for these results from the known ones, in order."""
        wanted: set[fx.Node] = set()
        pending = [node for node in results if node not in known]
        while pending:
            node = pending.pop()
            if node not in wanted:
                wanted.add(node)
                pending += [source for source in node.all_input_nodes if source not in known]
        return [node for node in next(iter(self.inputs.values())).graph.nodes if node in wanted]


def plan(
    cell: Cell, graph: fx.Graph, inputs: list[tuple[str, str]], outputs: list[tuple[str, str]], reductions: tuple[str, ...]
) -> Equations:
    """The equations in a graph of the step and its adjoint.

    Args:
        cell: the cell.
        graph: its placeholders are `inputs`, its results `outputs`, in their order.
        inputs, outputs: as the keys of `Equations`.
        reductions: as in `Equations`.
    """
    return _staged(cell, _cut(graph, inputs, outputs, reductions))


def _cut(graph: fx.Graph, inputs: list[tuple[str, str]], outputs: list[tuple[str, str]], reductions: tuple[str, ...]) -> Equations:
    """Chooses what the step keeps: at most as many as there are pre-activations, and those that are costly to recompute.

    With reductions, several passes need the costly ones, and their adjoints the pre-activations besides: twice as many are kept.

    The adjoint uses some values of the step. A walk back from them ends at costly values and at inputs: those are kept. A
    costly value that follows from kept ones (tanh of the new cell state) is recomputed instead, which is faster than memory; not
    with reductions, where every pass would do so.
    """
    placeholders = [node for node in graph.nodes if node.op == "placeholder"]
    given = dict(zip(inputs, placeholders, strict=True))
    results = dict(zip(outputs, next(node for node in graph.nodes if node.op == "output").args[0], strict=True))
    free = {node for (kind, _), node in given.items() if kind in ("s", "p", "r")}  # the adjoint has them in any case
    backward = {node for (kind, _), node in given.items() if kind in ("ds", "dv", "dq")}
    for node in graph.nodes:
        if any(source in backward for source in node.all_input_nodes):
            backward.add(node)
    # The gradient of the matrix of a late product needs the value that it read.
    wanted = [node for (kind, _), node in results.items() if kind not in ("s", "q")]
    used = {source for node in backward for source in node.all_input_nodes if source not in backward}
    used |= {node for node in wanted if node not in backward}
    kept = _frontier(used, free, lambda node: node.target in COSTLY)
    for node in reversed(list(graph.nodes)):
        if node in kept and node.op != "placeholder":
            others = kept - {node}
            given_too = set() if reductions else others
            if _frontier({node}, free, lambda source, others=others: source in others, top=False) <= given_too:
                kept = others
    if len(kept) > sum(kind == "a" for kind, _ in given) * (2 if reductions else 1):  # several of one pre-activation
        kept = _frontier(used, free, lambda _: False)
    order = [node for node in graph.nodes if node in kept]
    equations = Equations(given, results, tuple(order), frozenset())
    adjoint = equations.needed(wanted, {*placeholders, *order})
    touched = {source for node in adjoint for source in node.all_input_nodes} | set(wanted)
    reads = frozenset(name for (kind, name), node in given.items() if kind == "s" and node in touched)
    return Equations(given, results, tuple(order), reads, reductions=reductions)


def _staged(cell: Cell, equations: Equations) -> Equations:
    """Orders what the step keeps by when it is known: in which pass over the units."""
    inputs = {node for (kind, _), node in equations.inputs.items() if kind in ("a", "s", "p", "r")}
    stage = _stages(cell, equations, inputs)
    passes = {key: number for key, number in stage.items() if key[0] in ("v", "q")}
    last = max(passes.values(), default=0) + 1
    at: dict[fx.Node, int] = {}
    for number in range(1, last):
        results = [equations.outputs[key] for key, of in passes.items() if of == number]
        for node in equations.needed(results, inputs):
            at.setdefault(node, number)
    saved = sorted(equations.saved, key=lambda node: at.get(node, last))
    known_at = tuple(at.get(node, last) for node in saved)
    return dataclasses.replace(equations, saved=tuple(saved), known_at=known_at, stage=stage, stages=last - 1)


def _stages(cell: Cell, equations: Equations, inputs: Collection[fx.Node]) -> dict[tuple[str, str], int]:
    """The pass in which each value and each argument of a reduction is computed, and behind which each pre-activation is known."""
    named = {node: key for key, node in equations.inputs.items()}
    stage: dict[tuple[str, str], int] = {}

    def of(kind: str, name: str) -> int:
        """The stage of a value or an argument, or of what comes from them."""
        if kind == "r":
            return of("q", name)
        if kind == "a":
            reads = [read for read in reads_of(cell, name) if read not in cell.state]
            stage["a", name] = max((of("v", read) for read in reads), default=0)
            return stage["a", name]
        if kind in ("s", "p"):
            return 0
        if (kind, name) not in stage:
            result = equations.outputs[kind, name]
            read = {source for node in equations.needed([result], inputs) for source in node.all_input_nodes} | {result}
            stage[kind, name] = 1 + max((of(*named[node]) for node in read if node in named), default=0)
        return stage[kind, name]

    for kind, name in [*equations.outputs, *equations.inputs]:
        if kind in ("v", "q", "a"):
            of(kind, name)
    return stage


def _frontier(
    nodes: Iterable[fx.Node], free: Collection[fx.Node], stop: Callable[[fx.Node], bool], top: bool = True
) -> set[fx.Node]:
    """Where walks back from these nodes end: at stops, or at inputs that are not free. `top`: the nodes may be stops, too."""
    found: set[fx.Node] = set()
    seen: set[fx.Node] = set()
    pending = list(nodes)
    starts = set() if top else set(pending)
    while pending:
        node = pending.pop()
        if node in seen or node in free:
            continue
        seen.add(node)
        if node.op == "placeholder" or (node not in starts and stop(node)):
            found.add(node)
        else:
            pending += node.all_input_nodes
    return found
