"""The equations in writing: evaluated as they stand, they are the step; and what has no written form has none."""

import ast
import re
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch
from cells.variants import Variant, each_kind, normal
from tolerances import FLOAT64
from torch import Tensor, sigmoid, tanh

from gatelab.cells import Cell, Equation, cumulate, equations, mean, normalize, softmax, total, without_weights

_SAME = "sigmoid tanh exp log log1p expm1 relu sqrt rsqrt sin cos abs detach floor"
FUNCTIONS: dict[str, Any] = {name: getattr(torch, name) for name in _SAME.split()}
FUNCTIONS |= {"where": torch.where, "max": torch.maximum, "min": torch.minimum, "softplus": torch.nn.functional.softplus}
FUNCTIONS |= {"clamp": torch.clamp, "sign": torch.sign, "log_sigmoid": torch.nn.functional.logsigmoid}
FUNCTIONS |= {of.__name__: of for of in (total, mean, cumulate, softmax, normalize)}


def as_python(text: str, cell: Cell) -> str:
    """A right side with symbols in place of what a product or a time is in writing."""
    for name in (gate for gate in cell.gates if gate not in without_weights(cell)):
        parts = [f"W_{name} x" if cell.sources.get(name) != "recurrent" else "", ""]
        if cell.sources.get(name) != "input":
            parts[1] = rf"R_{name} (\[[^]]*\]|\S+?)"
        product = r" \+ ".join(part for part in (*parts, f"b_{name}") if part)
        text = re.sub(rf"(?<!\w){product}(?!\w)", f"a_{name}", text)
    for name in cell.delayed:
        part, _, lag = name.rpartition("_")
        inputs = " + ".join(f"W_{part}{number} x(t-{number})" for number in range(1, cell.delay.get("x", 0) + 1))
        text = text.replace(inputs if lag == "x1" else f"{part}(t-{lag})", f"{name}_before")
    for name in without_weights(cell):
        text = re.sub(rf"(?<!\w){'x' if cell.sources[name] == 'raw' else name}(?!\w)", f"a_{name}", text)
    text = text.replace("(t-1)", "_before").replace("~", "_before").replace(" . ", " * ").replace("^", "**")
    return re.sub(r"(?<![\w.])(\d[\d.e+-]*) (?=[\w(])(?!if |else )", r"\1 * ", text)


class Chosen(ast.NodeTransformer):
    """`y if c else n` as torch.where(c, y, n)."""

    def visit_IfExp(self, node: ast.IfExp) -> ast.AST:
        arguments: list[ast.expr] = [self.visit(of) for of in (node.test, node.body, node.orelse)]
        return ast.Call(ast.Name("where", ast.Load()), arguments, [])


def evaluated(cell: Cell, lines: list[Equation], values: dict[str, Tensor]) -> dict[str, Tensor]:
    """What the written equations give, one after the other."""
    known = dict(values)
    for line in lines:
        tree = ast.fix_missing_locations(Chosen().visit(ast.parse(as_python(line.text, cell), mode="eval")))
        known[line.name] = eval(compile(tree, "equation", "eval"), {"__builtins__": {}} | FUNCTIONS, known)
    return {name: known[name] for name in cell.own_state}


@each_kind
def test_written_equations_compute_the_step(variant: Variant) -> None:
    cell = variant.cell()
    lines = equations(cell)
    assert lines, "a cell of the registry can be written"
    given = {
        letter: {name: normal(3, 4, seed=7 * number + place) for place, name in enumerate(of)}
        for number, (letter, of) in enumerate((("a", cell.gates), ("s", cell.state), ("p", cell.vectors)))
    }
    new, _ = cell.step(*(SimpleNamespace(**given[letter]) for letter in "asp"))
    new = {name: new[name] for name in cell.own_state}
    values = {f"a_{name}": value for name, value in given["a"].items()} | given["p"]
    values |= {f"{name}_before": value for name, value in given["s"].items()}
    torch.testing.assert_close(evaluated(cell, lines, values), new, rtol=FLOAT64, atol=FLOAT64)


@each_kind
def test_latex_is_balanced(variant: Variant) -> None:
    for line in equations(variant.cell()):
        assert line.latex.count("{") == line.latex.count("}")
        assert line.latex.count("(") == line.latex.count(")")


def written(step: Any, **declared: Any) -> list[str]:
    cls = dataclass(frozen=True)(type("One", (Cell,), {"gates": {"f": "forget", "z": "value"}, "step": step, **declared}))
    return [str(line) for line in equations(cls())]


def test_what_is_used_twice_has_a_name() -> None:
    """A variable keeps its own name; what has none is written out, or numbered where it is long."""

    def step(self: Any, a: Any, s: Any, p: Any) -> Any:
        kept = sigmoid(a.f)
        h = kept * s.h - (1 - kept) * tanh(a.z) / 2
        return {"h": h}, {"forget": kept}

    assert written(step) == [
        "kept = sigmoid(W_f x + R_f h(t-1) + b_f)",
        "h = kept . h(t-1) - (1 - kept) . tanh(W_z x + R_z h(t-1) + b_z) / 2",
    ]


def test_an_unnamed_value_that_is_used_twice() -> None:
    def squared(value: Any) -> Any:
        return value * value

    def long(a: Any) -> Any:
        return tanh(sigmoid(a.z) + a.f * 2)

    def step(self: Any, a: Any, s: Any, p: Any) -> Any:
        return {"h": squared(long(a)) + s.h}, {"forget": sigmoid(a.f)}

    found = written(step)
    assert found[0].startswith("u1 = tanh(sigmoid(")
    assert found[1:] == ["h = u1 . u1 + h(t-1)"]


def test_parentheses_powers_and_choices() -> None:
    def step(self: Any, a: Any, s: Any, p: Any) -> Any:
        f = sigmoid(a.f)
        h = torch.where(f > 0.5, -(s.h - (f - 1)), (s.h + 1) ** 2)
        return {"h": h}, {"forget": f}

    assert written(step)[1] == "h = (-(h(t-1) - (f - 1)) if f > 0.5 else (h(t-1) + 1)^2)"


def test_what_cannot_be_written() -> None:
    def step(self: Any, a: Any, s: Any, p: Any) -> Any:
        f = sigmoid(a.f)
        assert isinstance(f, Tensor)  # a symbol is none
        return {"h": f * s.h}, {"forget": f}

    assert written(step) == []
