"""The equations of a cell in writing, as text and as LaTeX, read off its `step`."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

from torch import fx
from torch.fx.proxy import GraphAppendingTracer

from gatelab.cells._cell import Cell, Parts
from gatelab.cells._late import reads_of, yielded

SUM, PRODUCT, SIGN, ATOM = range(4)  # how tightly an expression holds together
SHARED = 3  # operators from which on an expression that is used twice gets a line of its own

_NAMES = {
    "sigmoid": r"\sigma",
    "tanh": r"\tanh",
    "exp": r"\exp",
    "log": r"\log",
    "sin": r"\sin",
    "cos": r"\cos",
    "maximum": r"\max",
    "minimum": r"\min",
}
_SHORT = {"maximum": "max", "minimum": "min", "absolute": "abs"}
_COMPARED = {"gt": ">", "ge": ">=", "lt": "<", "le": "<=", "eq": "==", "ne": "!="}
_SUMS = {"add": "+", "sub": "-"}
_GREEK = {"lambda", "alpha", "beta", "gamma", "theta", "eta", "nu", "zeta", "tau", "phi"}


@dataclass(frozen=True)
class Equation:
    """One line.

    Attributes:
        name: what is computed: a gate, a part of the state, or a value that others use.
        text: the right side, as in `f . c(t-1) + i . z`.
        symbol: the left side in LaTeX.
        latex: the right side in LaTeX.
        uses: what the right side reads: names of other equations, "x", and parts of the state before the step, as "c(t-1)".
    """

    name: str
    text: str
    symbol: str
    latex: str
    uses: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.name} = {self.text}"


def equations(cell: Cell) -> list[Equation]:
    """The equations of one time step, in an order in which they can be computed.

    The names are those of the variables in `step`; `c(t-1)` is the state before the step. Equations that the new state does not
    need are left out. Where `step` does something that has no written form (a loop that depends on a tensor's shape, a function
    that takes no symbols), the list is empty: the docstring has them.
    """
    try:
        results, values, names = _symbols(cell)
    except Exception:  # the step is the user's code, which may do anything that has no symbol
        return []
    used: dict[fx.Node, int] = {}
    for node in (*results.values(), *values.values()):
        _count(node, used)
    results |= {name: node for name, node in values.items() if name not in results}
    parts = {node: name for name, node in reversed(results.items()) if node.op == "call_function" or node.op == "call_method"}
    named = {node: name for node, name in names.items() if node in used and name not in results} | parts
    shared = [node for node, times in used.items() if times > 1 and node not in named and _size(node, named) >= SHARED]
    named |= {node: f"u{number}" for number, node in enumerate(shared, 1)}
    lines = [_line(cell, name, node, named) for node, name in _in_order(results.values(), named)]
    rest = [name for name, node in results.items() if named.get(node) != name]
    first = [name for name in rest if name in values]
    written = {name: _line(cell, name, results[name], named) for name in rest}
    return [*(written[name] for name in first), *lines, *(written[name] for name in rest if name not in first)]


def _line(cell: Cell, name: str, node: fx.Node, named: Mapping[fx.Node, str]) -> Equation:
    known = {of: other for of, other in named.items() if not (of is node and other == name)}
    text, latex = (_Writer(cell, known, form) for form in (False, True))
    written = text.write(node)[0]
    return Equation(name, written, latex.at(name, "t"), latex.write(node)[0], tuple(text.read))


# From `step` to a graph.


def _symbols(cell: Cell) -> tuple[dict[str, fx.Node], dict[str, fx.Node], dict[fx.Node, str]]:
    """The new state, what `before` returns, and the variables of `step` that are neither inputs nor numbers."""
    graph = fx.Graph()
    tracer = GraphAppendingTracer(graph)
    groups = [
        Parts(**{name: fx.Proxy(graph.placeholder(f"{letter}_{name}"), tracer) for name in of})
        for letter, of in (("a", cell.gates), ("s", cell.state), ("p", cell.vectors))
    ]
    for letter, of, group in zip("asp", (cell.gates, cell.state, cell.vectors), groups, strict=True):
        for name in of:
            getattr(group, name).node.meta["is"] = (letter, name)
    values: dict[str, Any] = {name: value for found in yielded(cell, *groups) for name, value in found.items()}
    local: dict[str, Any] = {}
    new: Any  # symbols in place of tensors
    with _variables_of(type(cell).step, local):
        new, _ = cell.step(*groups)
    names = {value.node: name for name, value in local.items() if isinstance(value, fx.Proxy) and value.node.op != "placeholder"}
    return {name: new[name].node for name in cell.own_state}, {name: value.node for name, value in values.items()}, names


@contextmanager
def _variables_of(function: Callable[..., Any], found: dict[str, Any]) -> Iterator[None]:
    """The local variables of a function when it returns."""
    before = sys.getprofile()

    def profile(frame: FrameType, event: str, _: Any) -> None:
        if event == "return" and frame.f_code is function.__code__:
            found.update(frame.f_locals)

    sys.setprofile(profile)
    try:
        yield
    finally:
        sys.setprofile(before)


def _count(node: fx.Node, used: dict[fx.Node, int]) -> None:
    """How often each node is read, twice by a square."""
    used[node] = used.get(node, 0) + 1
    if used[node] == 1:
        for source in (*node.args, *node.kwargs.values()):
            if isinstance(source, fx.Node):
                _count(source, used)


def _size(node: fx.Node, named: Mapping[fx.Node, str]) -> int:
    """Operators of an expression, down to what has a name."""
    return 0 if node.op == "placeholder" else 1 + sum(_size(of, named) for of in node.all_input_nodes if of not in named)


def _in_order(results: Any, named: Mapping[fx.Node, str]) -> list[tuple[fx.Node, str]]:
    """The named nodes in the order of the graph, which is that of `step`."""
    graph = next(iter(results)).graph
    return [(node, named[node]) for node in graph.nodes if node in named]


# From a graph to writing.


class _Writer:
    """Writes expressions, as text or as LaTeX."""

    def __init__(self, cell: Cell, named: Mapping[fx.Node, str], latex: bool) -> None:
        self.cell, self.named, self.latex = cell, named, latex
        self.read: dict[str, None] = {}  # what the expression reads, in its order

    def write(self, value: Any) -> tuple[str, int]:
        """An expression, and how tightly it holds together."""
        if not isinstance(value, fx.Node):
            number = f"{value:g}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value)
            if isinstance(value, float) and float(number) != value:
                number = repr(value)
            return number, SIGN if number.startswith("-") else ATOM
        if value in self.named:
            return self.at(self.named[value], "t"), ATOM
        if value.op == "placeholder":
            return self._input(*value.meta["is"])
        name = value.target if isinstance(value.target, str) else getattr(value.target, "__name__", str(value.target))
        arguments = [*value.args, *value.kwargs.values()]
        return self._call(name.strip("_"), arguments)

    def _call(self, name: str, arguments: Sequence[Any]) -> tuple[str, int]:
        if name in _SUMS and len(arguments) == 2:
            return f"{self._held(arguments[0], SUM)} {_SUMS[name]} {self._held(arguments[1], SUM + (name == 'sub'))}", SUM
        if name in ("rsub",) and len(arguments) == 2:
            return self._call("sub", arguments[::-1])
        if name in ("mul", "multiply") and len(arguments) == 2:
            return self._product(arguments)
        if name in ("truediv", "div", "rtruediv"):
            above, below = arguments[::-1] if name == "rtruediv" else arguments
            if self.latex:
                return rf"\frac{{{self.write(above)[0]}}}{{{self.write(below)[0]}}}", ATOM
            return f"{self._held(above, PRODUCT)} / {self._held(below, SIGN)}", PRODUCT
        if name in ("neg", "negative"):
            return f"-{self._held(arguments[0], PRODUCT)}", SIGN
        if name in ("pow", "square"):
            power = arguments[1] if len(arguments) > 1 else 2
            exponent = f"{{{self.write(power)[0]}}}" if self.latex else self._held(power, ATOM)
            return f"{self._held(arguments[0], ATOM)}^{exponent}", ATOM
        if name in _COMPARED:
            left, right = (self._held(of, SUM) for of in arguments)
            return f"{left} {_COMPARED[name]} {right}", SUM
        if name == "where":
            return self._choice(*arguments)
        return self._function(name, arguments)

    def _product(self, arguments: Sequence[Any]) -> tuple[str, int]:
        numbers = [of for of in arguments if not isinstance(of, fx.Node)]
        others = [of for of in arguments if isinstance(of, fx.Node)]
        dot = r" \odot " if self.latex else " . "
        written = dot.join(self._held(of, PRODUCT) for of in others)
        space = r"\," if self.latex else " "
        return space.join([*(self._held(of, ATOM) for of in numbers), written]), PRODUCT

    def _choice(self, condition: Any, yes: Any, no: Any) -> tuple[str, int]:
        test, then, otherwise = (self.write(of)[0] for of in (condition, yes, no))
        if self.latex:
            return rf"\begin{{cases}}{then} & {test}\\{otherwise} & \text{{otherwise}}\end{{cases}}", ATOM
        return f"({then} if {test} else {otherwise})", ATOM

    def _function(self, name: str, arguments: Sequence[Any]) -> tuple[str, int]:
        inside = ", ".join(self.write(of)[0] for of in arguments if of is not None)
        if self.latex:
            symbol = _NAMES.get(name, rf"\operatorname{{{name}}}")
            return f"{symbol}({inside})", ATOM
        return f"{_SHORT.get(name, name)}({inside})", ATOM

    def _held(self, value: Any, level: int) -> str:
        """An expression in parentheses if it holds together less tightly than `level`."""
        text, own = self.write(value)
        return f"({text})" if own < level else text

    def _input(self, letter: str, name: str) -> tuple[str, int]:
        """What `step` is given."""
        if letter == "p":
            return self._symbol(name), ATOM
        if letter == "s":
            carried = name in self.cell.delayed and name in self.cell.gates  # of earlier inputs
            return self._earlier(name) if carried else (self.at(name, "t-1"), ATOM)
        kind = self.cell.sources.get(name)
        if kind == "time":
            self.read[name] = None
            return self._symbol(name), ATOM
        if kind == "raw":
            self.read["x"] = None
            return "x_t" if self.latex else "x", ATOM
        terms = [] if kind == "recurrent" else [("W", "x_t" if self.latex else "x")]
        self.read |= {} if kind == "recurrent" else {"x": None}
        terms += [] if kind == "input" else [("R", self._fed(reads_of(self.cell, name) or self.cell.fed_back))]
        index = f"_{{{name}}}" if self.latex and len(name) > 1 else f"_{name}"
        return " + ".join([*(f"{weight}{index} {of}" for weight, of in terms), f"b{index}"]), SUM

    def _fed(self, names: Sequence[str]) -> str:
        parts = [self.at(name, "t-1" if name in self.cell.state else "t") for name in names]
        return parts[0] if len(parts) == 1 else f"[{', '.join(parts)}]"

    def _earlier(self, name: str) -> tuple[str, int]:
        """What is carried of earlier inputs: their products, from that of one lag to that of the longest."""
        gate, _, first = name.rpartition("_x")
        lags = range(int(first), self.cell.delay["x"] + 1)
        self.read |= {f"x(t-{lag})": None for lag in lags}
        form = "W_{{{0},{1}}} x_{{t-{1}}}" if self.latex else "W_{0}{1} x(t-{1})"
        return " + ".join(form.format(gate, lag) for lag in lags), SUM

    def at(self, name: str, time: str) -> str:
        """A value at a time; in text only the one before the step is marked. What attention reads has a tilde."""
        if name in self.cell.delayed:
            name, _, lag = name.rpartition("_")
            time = f"t-{lag}"
        read = time != "t" and self.cell.memory is not None
        if self.latex:
            return rf"\tilde{{{self._symbol(name)}}}_t" if read else f"{self._symbol(name)}_{{{time}}}"
        text = f"{name}~" if read else name if time == "t" else f"{name}({time})"
        self.read[text] = None
        return text

    def _symbol(self, name: str) -> str:
        if not self.latex:
            return name
        head, _, tail = name.partition("_")
        head = f"\\{head}" if head in _GREEK else head if len(head) == 1 else rf"\mathrm{{{head}}}"
        return f"{head}^{{({tail})}}" if tail else head
