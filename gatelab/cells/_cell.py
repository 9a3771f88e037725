"""The cell contract: what a file in this folder declares, and what is derived from that for every cell."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from gatelab.cells._biases import derive_bias_options, initial_biases
from gatelab.cells._check import activated, cell_problem, class_problem
from gatelab.cells._constraint import Constraint
from gatelab.cells._declared import check_annotations
from gatelab.cells._delay import unfold
from gatelab.cells._initial import Start
from gatelab.cells._late import reads_of, values_of, yielded
from gatelab.cells._operands import without_weights
from gatelab.errors import UserError
from gatelab.options import Options, derived_at_default, option


class Parts:
    """Tensors by name: a.i, s.c, p.p_f. A plain class, which torch.compile and torch.export can trace."""

    def __init__(self, **tensors: Any) -> None:
        for name, value in tensors.items():
            setattr(self, name, value)


@dataclass(frozen=True)
class Attention(Options):
    """Declares that `step` reads a weighted sum over earlier states instead of s(t-1).

    With the tape s_0 ... s_{t-1} (s_0 the initial state) and the summary h~ read one step before (h~ = h_0 at first):

    ```
    k_j = K h_j                q = Q x_t + P h~
    e_j = v . tanh(k_j + q)    additive        e_j = k_j . q / sqrt(H)    dot
    s~  = sum_j softmax(e)_j s_j               for every part of the state
    ```

    Attributes:
        score: how a state is scored.
        window: steps back that are read; None reads all of them, 1 reads s(t-1) and is the plain cell.
    """

    score: str = option("additive", "how a state is scored", choices=("additive", "dot"))
    window: int | None = option(None, "steps that are read; null: all", minimum=1)

    def parameters(self, input_size: int, hidden_size: int) -> dict[str, tuple[int, ...]]:
        """Names and shapes of the weights of the read."""
        shapes: dict[str, tuple[int, ...]] = {
            "K": (hidden_size, hidden_size),
            "Q": (hidden_size, input_size),
            "P": (hidden_size, hidden_size),
        }
        return shapes | ({"v": (hidden_size,)} if self.score == "additive" else {})


@dataclass(frozen=True)
class Cell(Options):
    """Base of all cells: a frozen dataclass whose fields are its hyper-parameters and become the options `cell.<field>`.

    Declares:
        gates: pre-activation -> its name in words, in the order in which weights are stored; each is H wide. Each has an option
            `<word>_bias`, its initial bias: 0, unless a `bias_option` of the class has another default.
        state: the tensors carried from step to step; the first is the output.
        output: the parts of the state that are the output, side by side, if it is not the first alone; that comes first.
        vectors: per-unit parameters (H,), for example peepholes.
        scalars: those of `vectors` of which all units share one number: the parameter is (1,), and `step` reads it as any vector.
        fixed: those of `vectors` that are not learned, with what they are: {"period": Groups((1, 2, 4))}.
        feedback: the parts of the state that enter the recurrent product; not used where every source is "input".
        sources: a pre-activation that has only one part: "input" (W x + b) or "recurrent" (R h + b), the others have both; or one
            without weights of its own: "raw" is the input itself (W x, a projection without bias, where D differs from H), and
            "time" the time that has passed since the step before, the same for all units (`times` of `RNN`; 1 by default).
        late: a pre-activation whose recurrent product reads something else than `feedback`: parts of the state, or values that
            `before` computes within the step. It has a matrix of its own, R_<pre-activation>.
        initial: what parameters start from where that belongs to the model: distributions by parameter, as in
            {"R": Identity(), "v": Uniform(0, 1)}, or by a block of W, R or b: {"b.f": UniformGate()}. See `gatelab.cells._initial`.
        delay: how many steps back the cell reads: {"x": 1} adds W_g,1 x(t-1) to every pre-activation with a part W x, and {"h": 3}
            gives `step`, `before` and `late` the parts h_2 = h(t-2) and h_3 = h(t-3) of the state. See `gatelab.cells._delay`.
        constraint: square blocks of R that keep a property while they are learnt, by name as in `initial`: {"R": Antisymmetric()}.
            The parameter is M, and the product is made with the matrix that is computed from it. See `gatelab.cells._constraint`.
        heads: an option of that name divides the units: R and the matrices of `late` have a block for each head on their diagonal.
        memory: what is read from earlier states before `step`.
        given: what `step` reads in `a` and no product makes: the caller of the time loop hands it over, for every step, row and
            unit. Only cells that gatelab makes from others declare it, for random masks.
        retention: the activated gate that is the factor on the unit's own old state: d s(t)/d s(t-1) with the pre-activations held
            fixed. Timescales are computed from it; a cell that does not declare it and returns no gate `forget` has none.
        unbounded: activated gates that are not confined to [0, 1]. They have no saturation, entropy or timescales.
        straight_through: activated gates that jump, and whose derivative `step` replaces by that of another function: gradients are
            not those of what is computed.
        family: under which `gatelab list cells` shows it. It is inherited.
        peer: the torch module that computes the same equations, if there is one, with its blocks in the order of `gates`. It is not
            inherited, because a derived class computes something else.

    `step` is free of branches on values and shapes, and pointwise but for the functions over units of a row that `gatelab.cells`
    has: total, mean, cumulate, softmax, normalize. So it can be traced, differentiated and printed as a kernel. The same holds for
    `before`. `check` tests that before anything else runs.

    A cell with a second product inside the step, n = tanh(W_n x + R_n (r . h) + b_n):

    ```python
    class Mine(Cell):
        gates = {"r": "reset", "z": "update", "n": "candidate"}
        late = {"n": "v"}
        retention = "update"

        def before(self, a, s, p):
            return {"v": sigmoid(a.r) * s.h}

        def step(self, a, s, p):
            r, z = sigmoid(a.r), sigmoid(a.z)
            return {"h": z * s.h + (1 - z) * tanh(a.n)}, {"reset": r, "update": z}
    ```

    A cell that forgets with the time between steps, and adds the input itself to its output:

    ```python
    class Mine(Cell):
        gates = {"n": "candidate", "r": "rate", "dt": "elapsed", "x": "raw_input"}
        sources = {"r": "input", "dt": "time", "x": "raw"}
        state = ("y", "h")
        feedback = ("h",)

        def step(self, a, s, p):
            f = exp(-softplus(a.r) * a.dt)
            h = f * s.h + (1 - f) * tanh(a.n)
            return {"y": h + a.x, "h": h}, {"forget": f}
    ```

    A cell whose state is normalised over its units, with a gate of which each unit gets a share:

    ```python
    from gatelab.cells import normalize, softmax

    class Mine(Cell):
        gates = {"f": "forget", "s": "share", "z": "candidate"}

        def step(self, a, s, p):
            f, share = sigmoid(a.f), softmax(a.s)
            return {"h": tanh(normalize(f * s.h + share * a.z))}, {"forget": f, "share": share}
    ```
    """

    gates: ClassVar[Mapping[str, str]] = {}
    state: ClassVar[tuple[str, ...]] = ("h",)
    output: ClassVar[tuple[str, ...]] = ()
    feedback: ClassVar[tuple[str, ...]] = ("h",)
    sources: ClassVar[Mapping[str, Literal["input", "recurrent", "raw", "time"]]] = {}
    late: ClassVar[Mapping[str, str | tuple[str, ...]]] = {}
    vectors: ClassVar[tuple[str, ...]] = ()
    scalars: ClassVar[tuple[str, ...]] = ()
    fixed: ClassVar[Mapping[str, Start]] = {}
    delay: ClassVar[Mapping[str, int]] = {}
    delayed: ClassVar[tuple[str, ...]] = ()  # the parts of the state that follow from `delay`, behind the others
    initial: ClassVar[Mapping[str, Start]] = {}
    constraint: ClassVar[Mapping[str, Constraint]] = {}
    retention: ClassVar[str] = "forget"
    unbounded: ClassVar[tuple[str, ...]] = ()
    straight_through: ClassVar[tuple[str, ...]] = ()
    given: ClassVar[tuple[str, ...]] = ()
    family: ClassVar[str] = "other cells"
    peer: ClassVar[type[torch.nn.RNNBase] | None] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        unfold(self)

    @property
    def memory(self) -> Attention | None:
        return None

    @property
    def origin(self) -> "type[Cell]":
        """The class that has the equations; another one for a cell that is made from a cell."""
        return type(self)

    @property
    def initial_bias(self) -> Mapping[str, float]:
        """The option `<word>_bias` of every pre-activation that has one; added to what `initial` declares for the bias."""
        return initial_biases(self)

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The equations of one time step.

        Args:
            a: pre-activations by name, (..., H) each.
            s: the state before the step, by name, (..., H) each.
            p: `vectors` by name, broadcastable against the others.

        Returns:
            The new state by name, and the activated gates by name in words, each within [0, 1] unless it is `unbounded`.
        """
        raise NotImplementedError

    def before(self, a: Any, s: Any, p: Any) -> Mapping[str, Tensor] | Iterator[Mapping[str, Tensor]]:
        """What late pre-activations read, computed from the others within the same step; only for a cell with `late`.

        Where one product follows another, it yields several dicts: after each, `a` has the pre-activations that read it.

        Args:
            a: pre-activations by name, (..., H) each, without those that are computed from what is returned.
            s: the state before the step, by name, (..., H) each.
            p: `vectors` by name, broadcastable against the others.

        Returns:
            The values by name, (..., H) each.
        """
        return {}

    @property
    def input_gates(self) -> tuple[str, ...]:
        """Pre-activations that read the input: the row blocks of the W that the time loop computes with."""
        return tuple(name for name in self.gates if self.sources.get(name) != "recurrent")

    @property
    def weighted_gates(self) -> tuple[str, ...]:
        """Pre-activations with a part W x that is learnt: the row blocks of the parameter W."""
        return tuple(name for name in self.input_gates if name not in without_weights(self))

    @property
    def biased_gates(self) -> tuple[str, ...]:
        """Pre-activations with a bias: the blocks of the parameter b. The product of an earlier input has none of its own."""
        return tuple(name for name in self.gates if name not in without_weights(self) and name not in self.delayed)

    @property
    def recurrent_gates(self) -> tuple[str, ...]:
        """Pre-activations with a part R h: the row blocks of R. Those of `late` have matrices of their own."""
        return tuple(name for name in self.gates if self.sources.get(name, "recurrent") == "recurrent" and name not in self.late)

    @property
    def head_count(self) -> int:
        """The value of the option `heads`; 1 without one."""
        return getattr(self, "heads", 1)

    @property
    def outputs(self) -> tuple[str, ...]:
        """The parts of the state that are the output."""
        return self.output or self.state[:1]

    def output_size(self, hidden_size: int) -> int:
        """The width of the output of one layer and direction."""
        return len(self.outputs) * hidden_size

    @property
    def timed(self) -> bool:
        """Whether a pre-activation is the time that has passed. Then the input of the time loop has it as its last column."""
        return "time" in self.sources.values()

    @property
    def own_state(self) -> tuple[str, ...]:
        """The parts of the state without those that follow from `delay`, which repeat them or an input."""
        return tuple(name for name in self.state if name not in self.delayed)

    @property
    def fed_back(self) -> tuple[str, ...]:
        """The parts of the state that enter the recurrent product; none where no pre-activation has a part R h."""
        return self.feedback if self.recurrent_gates else ()

    def shapes(self, input_size: int, hidden_size: int, bias: bool = True) -> dict[str, tuple[int, ...]]:
        """Name and shape of every parameter of one layer and direction; those of the read have the prefix `memory_`.

        Raises:
            UserError: the units cannot be divided among the heads.
        """
        D, H = input_size, hidden_size
        if H % self.head_count:
            raise UserError(f"The hidden size is {H}, but it must be a multiple of the {self.head_count} heads of the cell.")
        shapes: dict[str, tuple[int, ...]] = {}
        if self.weighted_gates:
            shapes["W"] = (len(self.weighted_gates) * H, D)
        if D != H:
            shapes |= {f"W_{name}": (H, D) for name in without_weights(self, "raw")}
        if self.recurrent_gates:
            shapes["R"] = (len(self.recurrent_gates) * H, len(self.fed_back) * H // self.head_count)
        shapes |= {f"R_{name}": (H, len(reads_of(self, name)) * H // self.head_count) for name in self.late}
        if bias:
            shapes["b"] = (len(self.biased_gates) * H,)
        shapes |= {name: (1,) if name in self.scalars else (H,) for name in self.vectors if name not in self.fixed}
        if self.memory is not None:
            shapes |= {f"memory_{name}": shape for name, shape in self.memory.parameters(D, H).items()}
        return shapes

    def rows(self, parameter: str) -> tuple[str, ...]:
        """The pre-activations whose blocks lie in a parameter from first to last row; empty if it has no blocks."""
        if parameter.removeprefix("R_") in self.late:
            return (parameter.removeprefix("R_"),)
        if parameter.removeprefix("W_") in without_weights(self, "raw"):
            return (parameter.removeprefix("W_"),)
        return {"W": self.weighted_gates, "R": self.recurrent_gates, "b": self.biased_gates}.get(parameter, ())

    def check(self, name: str) -> None:
        """Runs `step` on random data and compares what it returns with what is declared; a few milliseconds, once for equal cells.

        Args:
            name: of the cell, for the message.

        Raises:
            UserError: a declaration cannot be used; `step` fails, or returns other names, types or shapes than declared; it is not
                pointwise apart from functions over units, branches on a value or on the shape, or changes its inputs; or a gate
                leaves [0, 1].
        """
        problem = cell_problem(self)
        if problem is not None:
            raise UserError(f"Cell '{name}': {problem}")

    @classmethod
    def check_class(cls, name: str) -> None:
        """Checks the class before a cell of it is made.

        Raises:
            UserError: it has no decorator or `step`, an `__init__` of its own, an option with a reserved name, or a declaration of
                the wrong type.
        """
        problem = class_problem(cls)
        if problem is not None:
            raise UserError(f"Cell '{name}': {problem}")

    @property
    def activated(self) -> tuple[str, ...]:
        """The names of the gates that `step` returns."""
        return activated(self)

    def __repr__(self) -> str:
        """Its options, without derived ones that have their default."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        hidden = derived_at_default(type(self), values)
        return (
            f"{type(self).__qualname__}({', '.join(f'{name}={value!r}' for name, value in values.items() if name not in hidden)})"
        )

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        if "__dataclass_params__" not in vars(cls):
            check_annotations(cls)
            derive_bias_options(cls)
            if "__repr__" not in vars(cls):
                cls.__repr__ = Cell.__repr__  # otherwise the decorator writes one
            cls.peer = vars(cls).get("peer")


@dataclass(frozen=True)
class OdysseyCell(Cell):
    """Base of the variants that Greff et al. (2017) derive from an LSTM by one change.

    Their baseline has peepholes: i and f see c(t-1), o sees the NEW c(t). Most later work has none, so they are an option.
    """

    family = "LSTM with one change (Greff et al. 2017)"

    peepholes: bool = option(False, "peephole connections, as in the baseline of Greff et al. 2017")

    @property
    def vectors(self) -> tuple[str, ...]:  # type: ignore[override]
        return tuple(f"p_{name}" for name in type(self).gates if name != "z") if self.peepholes else ()

    def peep(self, a: Any, p: Any, name: str, c: Tensor) -> Tensor:
        """The pre-activation of a gate, with p . c added if there are peepholes."""
        value = getattr(a, name)
        return value + getattr(p, f"p_{name}") * c if self.peepholes else value


def by_position(cell: Cell) -> tuple[list[tuple[str, str]], Callable[..., tuple[Tensor, ...]]]:
    """`step` and `before` as one function of tensors only, which can be traced.

    Returns:
        The names of its arguments, as ("a", "i"), ("s", "c") or ("p", "p_i"); and the function, whose results are the parts of the
        new state, and behind them the values that `before` returns.
    """
    given = (("a", (*cell.gates, *cell.given)), ("s", cell.state), ("p", cell.vectors))
    names = [(group, name) for group, of in given for name in of]

    def step(*values: Tensor) -> tuple[Tensor, ...]:
        parts: dict[str, dict[str, Tensor]] = {"a": {}, "s": {}, "p": {}}
        for (group, name), value in zip(names, values, strict=True):
            parts[group][name] = value
        handed = [Parts(**part) for part in parts.values()]
        found = {name: value for values in yielded(cell, *handed) for name, value in values.items()}
        state, _ = cell.step(*handed)
        return (*(state[name] for name in cell.state), *(found[name] for name in values_of(cell)))

    return names, step


def parameter_count(cell: Cell, input_size: int, hidden_size: int, bias: bool = True) -> int:
    """Parameters of one layer and direction."""
    return sum(torch.Size(shape).numel() for shape in cell.shapes(input_size, hidden_size, bias).values())
