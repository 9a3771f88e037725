"""Every cell on the device, by every backend, against the eager loop in float64 on the CPU: values and all gradients."""

import functools
import math
from typing import Any

import torch
from torch import Tensor

from gatelab.bench import clock
from gatelab.bench.cases import Shape
from gatelab.bench.gpu.section import WAYS, Rounding, Rows, Setting, dtype_of, environment
from gatelab.cells import CELLS, Cell
from gatelab.models import RNN

# Relative errors ||found - reference|| / ||reference|| that are accepted. Roundings are 6e-8 in float32, 5e-4 in tf32 and
# float16 and 4e-3 in bfloat16. The recurrence passes them on, and a gradient that is a difference of larger terms shows them
# tenfold: the eager loop itself is 3e-2 away in bfloat16 (peephole), and with a memory of earlier states 1e-1.
ACCEPTED = {"float64": 1e-12, "float32": 1e-4, "tf32": 2e-2, "bfloat16": 2e-1, "float16": 3e-2}
CALLS = 3  # what the second call captures as a graph, the third replays
ODD = Shape(5, 63, 7, 33)


def rows(setting: Setting) -> Rows:
    """One row a cell."""
    return {name: functools.partial(_compare, setting, name) for name in setting.cells}


def _compare(setting: Setting, name: str) -> dict[str, Any]:
    shape = Shape(3, 5, 4, 6) if setting.small else ODD
    found: dict[str, Any] = {}
    cell = CELLS.build(name)
    for word, accepted in ACCEPTED.items():
        if word == "tf32" and not setting.gpu:
            continue
        for backend, refusal in setting.backends(cell, dtype_of(word)).items():
            if refusal is not None:
                found[f"{backend} {word}"] = {"refused": refusal}
                continue
            for way, variables in ({"": {}} | (WAYS.get(backend, {}) if word != "float64" else {})).items():
                for lengths in (False, True):
                    key = " ".join(filter(None, (backend, way, word, "lengths" if lengths else "")))
                    try:
                        with environment(variables):
                            found[key] = _errors(setting, cell, shape, word, backend, lengths)
                    except Exception as error:  # one way that does not run hides no other
                        found[key] = {"error": math.inf, "of": clock.reason(error), "accepted": accepted}
    return {"errors": found, "passed": all(one.get("error", 0.0) <= one.get("accepted", 0.0) for one in found.values())}


def _errors(setting: Setting, cell: Cell, shape: Shape, word: str, backend: str, lengths: bool) -> dict[str, Any]:
    """The largest relative error of outputs, last states and gradients, and whose it is."""
    dtype = dtype_of(word)
    reference = RNN(cell, shape.D, shape.H, backend="eager", dtype=torch.float64)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in reference.parameters():  # numbers that the format of the device has as well
            drawn = 0.7 / math.sqrt(shape.H) * torch.randn(parameter.shape, generator=generator)
            parameter.copy_(drawn.to(dtype).to(torch.float64))
    own = RNN(cell, shape.D, shape.H, backend=backend, device=setting.device, dtype=dtype)
    own.load_state_dict(reference.state_dict())
    x = torch.randn(shape.T, shape.B, shape.D, generator=generator).to(dtype)
    gradient = torch.randn(shape.T, shape.B, shape.H, generator=generator).to(dtype)
    ends = torch.arange(shape.B) % shape.T + 1 if lengths else None
    expected = _results(reference, x.double(), gradient.double(), ends)
    there = [None if value is None else value.to(setting.device) for value in (x, gradient, ends)]
    with Rounding(word):
        for _ in range(CALLS - 1):
            _results(own, *there)  # type: ignore[arg-type]
        own.zero_grad()
        got = _results(own, *there)  # type: ignore[arg-type]
    errors = {name: relative(got[name], value) for name, value in expected.items()}
    worst = max(errors, key=lambda name: errors[name])
    return {"error": errors[worst], "of": worst, "accepted": ACCEPTED[word]}


def _results(rnn: RNN, x: Tensor, gradient: Tensor, lengths: Tensor | None) -> dict[str, Tensor]:
    x = x.clone().requires_grad_()
    output, last = rnn(x, lengths=lengths)
    output.backward(gradient)
    found = {"output": output, "x.grad": x.grad} | {f"last {name}": part for name, part in zip(rnn.cell.state, last, strict=True)}
    found |= {f"{name}.grad": parameter.grad for name, parameter in rnn.named_parameters()}
    return {name: value for name, value in found.items() if value is not None}


def relative(found: Tensor, expected: Tensor) -> float:
    """||found - expected|| / ||expected||; infinite where a number is nan, which would compare with nothing."""
    difference = (found.detach().cpu().double() - expected.detach()).norm().item()
    size = expected.detach().norm().item()
    error = difference / size if size else difference
    return math.inf if math.isnan(error) else error
