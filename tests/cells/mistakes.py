"""Cells that break the contract, by what is wrong with them."""

import re
from typing import NamedTuple

HEAD = """
import math
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from torch import sigmoid, tanh

from gatelab import Cell, option
from gatelab.cells import Constant, Identity, Log, Logit, Normal, RingGain, Uniform, bias_option, mean, total
"""


class Mistake(NamedTuple):
    """A cell that breaks the contract.

    Attributes:
        step: the lines of `step`; the one with `#!` is the line that the message names, else it is that of `def step`.
        says: what the message must contain.
        declares: further lines of the class, which replace `gates` and `state` where they declare them.
        decorator: the line above the class.
    """

    step: str
    says: tuple[str, ...]
    declares: str = ""
    decorator: str = "@dataclass(frozen=True)"

    def source(self) -> str:
        lines = [HEAD, self.decorator, "class Mine(Cell):", '    "A cell."']
        for name, value in (("gates", '{"f": "forget", "z": "block_input"}'), ("state", '("h",)')):
            if not re.search(rf"^{name}\b", self.declares, re.MULTILINE):
                lines.append(f"    {name} = {value}")
        lines += [f"    {line}" for line in self.declares.splitlines()]
        if self.step:
            lines += ["    def step(self, a, s, p):"]
            lines += [f"        {line}" for line in self.step.splitlines()]
        return "\n".join(lines) + "\n"

    def lines(self) -> list[int]:
        """The lines that the message may name: the marked one, else those of the class and of `step`."""
        lines = self.source().splitlines()
        marked = [number for number, line in enumerate(lines, 1) if "#!" in line]
        return marked or [
            number for number, line in enumerate(lines, 1) if line.startswith(("@", "class", "    def step", "    def "))
        ]


GOOD = "f = sigmoid(a.f)\nreturn {'h': f * s.h + (1 - f) * tanh(a.z)}, {'forget': f}"
H = "h = sigmoid(a.f) * s.h + tanh(a.z)\n"  # the start of steps whose mistake comes later
F = "return {'h': h}, {'forget': sigmoid(a.f)}"

OF_ANY_CELL = {
    # What `step` reads.
    "unknown pre-activation": Mistake(H + "h = h * a.g #!\n" + F, ("step reads a.g, but `gates` declares f, z",)),
    "misspelt pre-activation": Mistake(
        "h = tanh(a.fz) #!\n" + F,
        ("reads a.fz, but `gates` declares forget, fzz", "did you mean a.fzz?"),
        'gates = {"forget": "forget_it", "fzz": "other"}',
    ),
    "unknown state": Mistake("h = tanh(a.z + s.c) #!\n" + F, ("step reads s.c, but `state` declares h",)),
    "unknown vector": Mistake("h = tanh(a.z + p.v) #!\n" + F, ("step reads p.v, but `vectors` declares nothing",)),
    "unknown attribute": Mistake("h = tanh(a.z) * self.gian #!\n" + F, ("AttributeError: 'Mine' object has no attribute 'gian'",)),
    # What `step` returns.
    "only the state": Mistake("return {'h': tanh(a.z)}", ("step returns a dict, but it must return two dicts",)),
    "nothing": Mistake("h = tanh(a.z)", ("step returns None, but it must return two dicts",)),
    "a tensor": Mistake("return tanh(a.z)", ("step returns a Tensor, but it must return two dicts",)),
    "tensors": Mistake("return tanh(a.z), sigmoid(a.f)", ("step returns a tuple (Tensor, Tensor), but it must return two dicts",)),
    "a generator": Mistake("yield {'h': a.z}, {}", ("step returns a generator, but it must return two dicts",)),
    "another state": Mistake("return {'c': a.z}, {}", ("returns the state ['c'], but `state` declares ['h']",)),
    "more state": Mistake("return {'h': a.z, 'c': a.z}, {}", ("returns the state ['c', 'h'], but `state` declares ['h']",)),
    "less state": Mistake(
        "return {'h': a.z}, {'forget': sigmoid(a.f)}",
        ("returns the state ['h'], but `state` declares ['c', 'h']",),
        'state = ("h", "c")',
    ),
    "a gate as float": Mistake(
        H + "return {'h': h}, {'forget': 0.5}", ("step returns the gate 'forget' as a float", "tensor of shape")
    ),
    "a state as float": Mistake("return {'h': 0.0}, {'forget': sigmoid(a.f)}", ("step returns the state 'h' as a float",)),
    "a state as array": Mistake(
        "return {'h': np.zeros((3, 8))}, {'forget': sigmoid(a.f)}", ("step returns the state 'h' as a ndarray",)
    ),
    "a sum": Mistake("return {'h': a.z.sum(-1)}, {'forget': sigmoid(a.f)}", ("returns the state 'h' of shape (3,) from", "(3, 8)")),
    "a mean as gate": Mistake(H + "return {'h': h}, {'forget': sigmoid(a.f).mean()}", ("the gate 'forget' of shape () from",)),
    "a vector as gate": Mistake(
        H + "return {'h': h}, {'forget': sigmoid(p.v)}", ("the gate 'forget' of shape (8,) from",), 'vectors = ("v",)'
    ),
    "single precision": Mistake(
        "return {'h': a.z.float()}, {'forget': sigmoid(a.f)}", ("as torch.float32, cpu", "that are torch.float64, cpu")
    ),
    "double precision": Mistake(
        "return {'h': a.z * torch.ones_like(a.z).double()}, {'forget': sigmoid(a.f)}",
        ("as torch.float64, cpu", "that are torch.float32, cpu"),
    ),
    "another device": Mistake("return {'h': a.z.to('meta')}, {'forget': sigmoid(a.f)}", ("as torch.float64, meta",)),
    "a sparse tensor": Mistake("return {'h': a.z.to_sparse()}, {'forget': sigmoid(a.f)}", ("torch.sparse_coo", "torch.strided")),
    # Which gates it returns.
    "a gate that is a number": Mistake(
        H + "return {'h': h}, {'forget': sigmoid(a.f), 1: sigmoid(a.f)}", ("the gate '1', but a name consists of",)
    ),
    "a gate under its short name": Mistake(
        H + "return {'h': h}, {'f': sigmoid(a.f)}", ("returns the gate 'f', but `gates` calls it 'forget'; return it as 'forget'",)
    ),
    "no forget gate": Mistake(
        H + "return {'h': h}, {}", ("step returns the gates none, but not 'forget', which `gates` declares",)
    ),
    "another retention": Mistake(GOOD, ("retention names 'keep', but step returns the gates forget",), 'retention = "keep"'),
    "another unbounded": Mistake(GOOD, ("unbounded names 'keep', but step returns the gates forget",), 'unbounded = ("keep",)'),
    "another straight-through gate": Mistake(
        GOOD, ("straight_through names 'keep', but step returns the gates forget",), 'straight_through = ("keep",)'
    ),
    "a gate that is not a name": Mistake(
        H + "return {'h': h}, {'forget': sigmoid(a.f), 'o/p': sigmoid(a.f)}", ("returns the gate 'o/p', but a name consists of",)
    ),
    "a gate from -1": Mistake(H + "return {'h': h}, {'forget': tanh(a.f)}", ("the gate 'forget' is -", 'unbounded = ("forget",)')),
    "a gate beyond 1": Mistake(
        H + "return {'h': h}, {'forget': (0.5 + 0.1 * a.f).clamp(min=0)}", ("the gate 'forget' is 1.", "a gate is within [0, 1]")
    ),
    # What `step` does.
    "an if": Mistake(
        "if a.z > 0: #!\n    return {'h': a.z}, {}\n" + F.replace("h}", "a.z}"), ("step turns a tensor into a Python value",)
    ),
    "an if over all": Mistake(
        "if (a.z > 0).any(): #!\n    a.z = -a.z\nh = a.z\n" + F, ("step turns a tensor into a Python value",)
    ),
    "math.exp": Mistake("h = a.z + math.exp(-a.f) #!\n" + F, ("step turns a tensor into a Python value", "functions of torch")),
    "item": Mistake("h = a.z * a.f[0, 0].item() #!\n" + F, ("step turns a tensor into a Python value", "torch.where")),
    "numpy": Mistake("h = np.exp(a.z) + s.h #!\n" + F, ("numpy() on Tensor that requires grad",)),
    "division by zero": Mistake("h = a.z * (1 // 0) #!\n" + F, ("step raises ZeroDivisionError",)),
    "exit": Mistake("raise SystemExit(7) #!", ("step raises SystemExit: 7",)),
    "shapes that do not fit": Mistake("h = a.z * torch.ones(5) #!\n" + F, ("step raises RuntimeError: The size of tensor a (8)",)),
    "assignment to an option": Mistake("self.gain = 2.0 #!\nh = a.z\n" + F, ("step raises FrozenInstanceError", "'gain'")),
    "random numbers": Mistake("h = a.z + torch.rand_like(a.z)\n" + F, ("step returns other values for the same input",)),
    "a counter": Mistake(
        "COUNT.append(1)\nh = a.z * len(COUNT)\n" + F, ("step returns other values for the same input",), "global COUNT\nCOUNT = []"
    ),
    "in place": Mistake("a.z.mul_(2)\nh = a.z + 0\n" + F, ("step changes a.z in place",)),
    "in place, the state": Mistake("s.h += a.z\nh = s.h * 1\n" + F, ("step changes s.h in place",)),
    "in place, needed later": Mistake(
        "f = sigmoid(a.f)\nh = f * s.h + a.z\nf *= 0.5\nreturn {'h': h}, {'forget': f}",
        ("the derivative of step cannot be computed",),
    ),
    "no derivative": Mistake("with torch.no_grad():\n    h = tanh(a.z + s.h)\n" + F, ("no derivative by any pre-activation",)),
    "a derivative of nothing": Mistake("h = torch.sign(a.z).detach() + s.h\n" + F, ("no derivative by any pre-activation",)),
    "assignment to p": Mistake("p.v = p.v * 2\nh = a.z + p.v\n" + F, ("step assigns to p",), 'vectors = ("v",)'),
    # What is not pointwise.
    "layer norm": Mistake(
        "h = (a.z - a.z.mean(-1, keepdim=True)) / a.z.std(-1, keepdim=True)\n" + F, ("step couples units: the state 'h' of other",)
    ),
    "softmax": Mistake(
        "return {'h': a.z}, {'forget': a.f.softmax(-1)}",
        ("step couples units: the gate 'forget' of other units", "; functions over the units of a row are total, mean, cumulate"),
    ),
    "a sum within a sum": Mistake(
        "h = 0.1 * total(a.z - a.z.mean(-1, keepdim=True))\n" + F, ("step couples units: the argument of total of other units",)
    ),
    "rows within a sum": Mistake("h = mean(a.z - a.z.mean(0))\n" + F, ("step couples rows: the argument of mean of other rows",)),
    "a sum of another shape": Mistake(
        "h = a.z * mean(a.z[:, :4])\n" + F, ("mean is given a tensor of shape (3, 4) from", "(..., H)")
    ),
    "a sum that depends on the shape": Mistake(
        "h = a.z * mean(a.z) if a.z.dim() == 2 else total(a.z) * total(a.f)\n" + F, ("calls functions over units more often",)
    ),
    "a maximum": Mistake("h = a.z - a.z.amax(-1, keepdim=True)\n" + F, ("step couples units",)),
    "heads": Mistake(
        "h = a.z.unflatten(-1, (-1, 2)).roll(1, -1).flatten(-2) if a.z.shape[-1] % 2 == 0 else a.z\n" + F, ("step couples units",)
    ),
    "units in another order": Mistake("h = a.z.flip(-1)\n" + F, ("step couples units",)),
    "the mean of a batch": Mistake("h = a.z - a.z.mean(0)\n" + F, ("step couples rows: the state 'h' of other rows",)),
    "the mean of a vector": Mistake("h = a.z * p.v.mean()\n" + F, ("changes with the vectors of one",), 'vectors = ("v",)'),
    "a vector in another layout": Mistake(
        "h = a.z * p.v.unsqueeze(0)[0]\nh = h.reshape(a.z.shape[0], -1)\n" + F,
        ("the state 'h' of shape (1, 20) from",),
        'vectors = ("v",)',
    ),
    "a branch on the shape": Mistake(
        "h = a.z if a.z.shape[-1] > 2 else -a.z\n" + F, ("shape (1, 1)", "without a branch on the shape")
    ),
    "a branch on many units": Mistake(
        "h = a.z if a.z.shape[-1] < 500 else -a.z\n" + F, ("shape (1, 1031)", "a branch on the shape")
    ),
    "a branch on many rows": Mistake("h = a.z if len(a.z) < 200 else -a.z\n" + F, ("shape (257, 1)", "a branch on the shape")),
    "the position of a unit": Mistake("h = a.z * torch.arange(a.z.shape[-1])\n" + F, ("without the position of a unit",)),
    # What the class declares.
    "no step": Mistake("", ("class Mine has no `step`", "def step(self, a, s, p)")),
    "another signature": Mistake("", ("`step` must take (self, a, s, p)",), "def step(self, x, h):\n    return {}, {}"),
    "gates as a tuple": Mistake(GOOD, ("`gates` is ('f', 'z'), but it must be a dict",), 'gates = ("f", "z")'),
    "gates with numbers": Mistake(GOOD, ("`gates` is {'f': 1}, but it must be a dict from names to words",), 'gates = {"f": 1}'),
    "no gates": Mistake(GOOD, ("must declare `gates`",), "gates = {}"),
    "no state": Mistake(GOOD, ("must declare `gates` (its pre-activations) and `state`",), "state = ()"),
    "state as a text": Mistake(GOOD, ("`state` is 'h', but it must be a tuple of names, as in state = ('h',)",), 'state = "h"'),
    "state as a list": Mistake(GOOD, ("`state` is ['h'], but it must be a tuple of names",), 'state = ["h"]'),
    "state twice": Mistake(GOOD, ("`state` has the name 'h' twice",), 'state = ("h", "h")'),
    "a word twice": Mistake(GOOD, ("`gates` has the name 'forget' twice",), 'gates = {"f": "forget", "z": "forget"}'),
    "a keyword": Mistake(GOOD, ("`gates` has the name 'lambda', but",), 'gates = {"f": "forget", "lambda": "block_input"}'),
    "words with a slash": Mistake(
        GOOD, ("has the name 'in/put', but a name consists of",), 'gates = {"f": "forget", "z": "in/put"}'
    ),
    "a scalar that is not a vector": Mistake(
        GOOD, ("scalars names 'v', which is not among", "`vectors` declares"), 'scalars = ("v",)'
    ),
    "vectors as a text": Mistake(GOOD, ("`vectors` is 'v', but it must be a tuple of names",), 'vectors = "v"'),
    "vectors that cannot be read": Mistake(
        GOOD, ("`vectors` cannot be read: ZeroDivisionError",), "@property\ndef vectors(self):\n    return 1 / 0"
    ),
    "a memory that is none": Mistake(GOOD, ("`memory` is 3, but it must be",), "@property\ndef memory(self):\n    return 3"),
    "an unknown source": Mistake(GOOD, ("sources names 'q', which is not among f, z",), 'sources = {"q": "input"}'),
    "a source of another kind": Mistake(
        GOOD, ("gives 'z' the source 'both', but it must be 'input', 'recurrent', 'raw' or 'time'",), 'sources = {"z": "both"}'
    ),
    "an output that begins with another part": Mistake(
        GOOD.replace("}, {", ", 'c': s.c}, {"),
        ("`output` is ('c', 'h'), but it must begin with 'h'",),
        'state = ("h", "c")\noutput = ("c", "h")',
    ),
    "a start that depends on what comes later": Mistake(
        GOOD,
        ("`initial` gives 'v' log sqrt(1 - m^2), m = exp(-exp(w)), but 'w' is not a parameter that is declared before it",),
        'vectors = ("v", "w")\ninitial = {"v": RingGain("w")}',
    ),
    "nothing that has weights": Mistake(
        GOOD, ("no pre-activation has weights", "give one the source 'input'"), 'sources = {"f": "time", "z": "raw"}'
    ),
    "a vector with the name of a projection": Mistake(
        GOOD, ("the vector 'W_z' must have another name",), 'sources = {"z": "raw"}\nvectors = ("W_z",)'
    ),
    "an initial bias of the input itself": Mistake(
        GOOD, ("initial_bias names 'z', which is not among f;",), 'sources = {"z": "raw"}\ninitial_bias = {"z": 1.0}'
    ),
    "biases that are none": Mistake(
        GOOD, ("`initial_bias` is ['f'], but it must be a dict",), "@property\ndef initial_bias(self):\n    return ['f']"
    ),
    "a bias of nothing": Mistake(
        GOOD, ("initial_bias names 'i', which is not among f, z",), 'input_bias: float = bias_option("i", 1.0, "help")'
    ),
    "starts that are none": Mistake(GOOD, ("`initial` is 3, but it must be a dict from parameters to",), "initial = 3"),
    "a number as a start": Mistake(
        GOOD, ("`initial` gives 'R' 1.0, but it must be a distribution, as in initial = {",), 'initial = {"R": 1.0}'
    ),
    "a start of nothing": Mistake(
        GOOD,
        ("`initial` names the parameter 'b_f', but there are only W, R, b, v, W.f, ", "; did you mean 'b.f'?"),
        'vectors = ("v",)\ninitial = {"b_f": Constant(1.0)}',
    ),
    "an identity that is not square": Mistake(
        GOOD, ("`initial` gives 'W.z' identity, but only a square block can be that",), 'initial = {"W.z": Identity()}'
    ),
    "a start with its ends exchanged": Mistake(
        GOOD, ("Uniform: low is 1 and high is 0, but high must not be below low",), 'initial = {"R": Uniform(1, 0)}'
    ),
    "a start of a wrong type": Mistake(
        GOOD, ("Normal: option 'std' is 'x', but it must be of type float",), 'initial = {"R": Normal("x")}'
    ),
    "a logarithm of what can be negative": Mistake(
        GOOD,
        ("Log: it is given what is uniform in [-1, 1], but all values must be above 0.",),
        'initial = {"R": Log(Uniform(-1, 1))}',
    ),
    "a logit of 0": Mistake(
        GOOD,
        ("Logit: it is given what is uniform in [0, 1], but all", "above 0 and below 1"),
        'initial = {"b": Logit(Uniform(0, 1))}',
    ),
    "a start that can be a parameter of another cell": Mistake(
        GOOD,
        ("`initial` names the parameter 'R', but there are only W, b, W.f,",),
        'sources = {"f": "input", "z": "input"}\ninitial = {"R": Identity()}',
    ),
    "feedback of nothing": Mistake(GOOD, ("feedback names 'c', which is not among h",), 'feedback = ("c",)'),
    "the default feedback of another state": Mistake(
        "return {'c': a.z + s.c}, {'forget': sigmoid(a.f)}", ("feedback names 'h', which is not among c",), 'state = ("c",)'
    ),
    "no feedback": Mistake(GOOD, ("`feedback` is empty, but f, z read what is fed back",), "feedback = ()"),
    "retention as a tuple": Mistake(GOOD, ("`retention` is ('forget',), but",), 'retention = ("forget",)'),
    "a peer that is none": Mistake(GOOD, ("`peer` is 'LSTM', but",), 'peer = "LSTM"'),
    "a peer with other blocks": Mistake(GOOD, ("peer GRU has 3 blocks of rows, but f, z in W of the cell",), "peer = torch.nn.GRU"),
    "a peer with other equations": Mistake(
        "h = tanh(a.z + 0.1 * s.h)\nreturn {'h': h}, {}",
        ("step computes another 'h' than its peer RNN",),
        'gates = {"z": "block_input"}\npeer = torch.nn.RNN',
    ),
    "a peer that cannot be made": Mistake(GOOD, ("peer RNNBase cannot be made",), "peer = torch.nn.RNNBase"),
    "an own __init__": Mistake(
        GOOD,
        ("class Mine has an __init__ of its own; declare every option as a field",),
        "def __init__(self, k=1):\n    self.k = k",
    ),
    "a declaration with an annotation": Mistake(
        GOOD,
        ("`gates` has an annotation, which makes it an option", "Write `gates = ...` without one"),
        'gates: dict = {"f": "forget"}',
    ),
    "options that cannot be hashed": Mistake(
        GOOD,
        ("its options cannot be hashed", "super().__post_init__()"),
        "sizes: list[int] = option(factory=lambda: [1])\ndef __post_init__(self):\n    pass",
    ),
    "a __post_init__ that raises": Mistake(
        GOOD, ("cell 'mine' cannot be built from its defaults: ZeroDivisionError",), "def __post_init__(self):\n    1 / 0"
    ),
    "not frozen": Mistake(
        GOOD, ("cannot inherit non-frozen dataclass", "Write @dataclass(frozen=True) above the class"), "", "@dataclass"
    ),
    "an option without a type": Mistake(
        GOOD, ("'gain' is a field but has no type", "name: type = option("), 'gain = option(1.0, "help")'
    ),
    "no decorator": Mistake(GOOD, ("must be a dataclass. Write @dataclass(frozen=True) above class Mine",), "", ""),
}
OF_ANY_CELL |= {
    f"a vector called {name}": Mistake(
        f"h = tanh(a.z + p.{name})\n" + F, (f"the vector '{name}' must have another name",), f'vectors = ("{name}",)'
    )
    for name in ("W", "R", "b", "cell", "hidden_size", "weights", "training", "memory_K", "forward", "_parameters")
}
OF_ANY_CELL |= {
    f"an option called {name}": Mistake(
        GOOD, (f"the option '{name}' must have another name",), f'{name}: float = option(1.0, "help")'
    )
    for name in ("name", "memory", "step", "check", "shapes", "initial_bias", "hidden_size", "bias", "dropout", "cell", "activated")
}

# What is refused when the file is loaded, before there is a place of `step` or of the class in the message.
ELSEWHERE = {
    "a start with its ends exchanged",
    "a start of a wrong type",
    "a logarithm of what can be negative",
    "a logit of 0",
    "a declaration with an annotation",
    "a __post_init__ that raises",
    "no decorator",
    "not frozen",
    "an option without a type",
}
