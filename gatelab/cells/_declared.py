"""Checks what a cell declares: its class, its names, and how they refer to each other."""

import dataclasses
import difflib
import functools
import inspect
import keyword
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from torch import nn

from gatelab.cells._constraint import Constraint
from gatelab.cells._delay import check_delay
from gatelab.cells._delay import check_kind as check_delay_kind
from gatelab.cells._initial import Start
from gatelab.cells._late import check_kind, check_late, values_of
from gatelab.cells._operands import without_weights
from gatelab.errors import UserError
from gatelab.options import Options
from gatelab.registry.contract import BrokenError, base_of, check_dataclass

if TYPE_CHECKING:
    from gatelab.cells._cell import Cell

# Names that a layer of `gatelab.RNN` uses itself, in addition to those of every nn.Module.
LAYER = frozenset(
    [
        "W",
        "R",
        "b",
        "cell",
        "input_size",
        "hidden_size",
        "shapes",
        "weights",
        "read",
        "write",
        "reset_parameters",
        "parametrizations",
        "_read_names",
        "_place",
        "_computes",
        "_rates",
        "_masked",
    ]
)
# Arguments of `gatelab.RNN`: an option of that name could not be given to it.
ARGUMENTS = frozenset(
    [
        "cell",
        "input_size",
        "hidden_size",
        "num_layers",
        "bias",
        "batch_first",
        "dropout",
        "bidirectional",
        "backend",
        "checkpoint_every",
        "device",
        "dtype",
        "recurrent_dropout",
        "zoneout",
        "zoneout_memory",
        "residual",
    ]
)
NAMES = ("state", "output", "feedback", "vectors", "scalars", "unbounded", "straight_through")  # tuples of names
_STARTS = {"initial": 'initial = {"R": Identity(), "v": Uniform(0, 1)}', "fixed": 'fixed = {"period": Groups((1, 2, 4))}'}
WORDS = ("gates", "sources")  # names by name
SOURCES = ("input", "recurrent", "raw", "time")
_CONSTRAINT = 'constraint = {"R": Antisymmetric()}'
DECLARED = (*NAMES, *WORDS, "late", "delay", "initial", "fixed", "constraint", "retention", "family", "peer")


def reserved() -> frozenset[str]:
    """Names that a vector cannot have. They are read each time: torch._dynamo adds attributes to torch's modules."""
    return LAYER | {*dir(nn.Module()), *vars(nn.Module())}


def check_class(cls: "type[Cell]") -> None:
    """Refuses a class that no cell can be made from.

    Raises:
        BrokenError: the message says what is wrong.
    """
    check_dataclass(cls)
    for field in dataclasses.fields(cls):
        if field.name in ARGUMENTS:
            raise BrokenError(f"the option '{field.name}' must have another name: it is an argument of gatelab.RNN")
    for name in DECLARED:
        value = inspect.getattr_static(cls, name)
        if not isinstance(value, (property, functools.cached_property)):
            _check_kind(name, value)
    if cls.step is base_of(cls).step:
        raise BrokenError(f"class {cls.__name__} has no `step`, which computes one time step: def step(self, a, s, p)")
    _check_signature(cls)


def check_annotations(cls: type) -> None:
    """Refuses an annotated declaration, which the decorator would take for an option or for a mutable default.

    Raises:
        UserError: at the definition of the class.
    """
    for name, annotation in inspect.get_annotations(cls).items():
        text = annotation if isinstance(annotation, str) else str(annotation)
        if name in DECLARED and "ClassVar" not in text:
            raise UserError(
                f"class {cls.__name__}: `{name}` has an annotation, which makes it an option. Write `{name} = ...` without one, or "
                "annotate it as a ClassVar."
            )


def _check_kind(name: str, value: Any) -> None:
    """Refuses a declaration of the wrong type."""
    if name in NAMES:
        example = f"{name} = ({value!r},)" if isinstance(value, str) else f'{name} = ("h", "c")'
        if not isinstance(value, tuple) or not all(isinstance(item, str) for item in value):
            raise BrokenError(f"`{name}` is {value!r}, but it must be a tuple of names, as in {example}")
    elif name in WORDS:
        example = 'gates = {"f": "forget"}' if name == "gates" else 'sources = {"n": "input"}'
        if not isinstance(value, Mapping) or not all(isinstance(item, str) for pair in value.items() for item in pair):
            raise BrokenError(f"`{name}` is {value!r}, but it must be a dict from names to words, as in {example}")
    elif name == "late":
        check_kind(value)
    elif name == "delay":
        check_delay_kind(value)
    elif name in _STARTS:
        if not isinstance(value, Mapping) or not all(isinstance(item, str) for item in value):
            raise BrokenError(
                f"`{name}` is {value!r}, but it must be a dict from parameters to distributions, as in {_STARTS[name]}"
            )
        for parameter, start in value.items():
            if not isinstance(start, Start):
                raise BrokenError(f"`{name}` gives '{parameter}' {start!r}, but it must be a distribution, as in {_STARTS[name]}")
    elif name == "constraint":
        if not isinstance(value, Mapping) or not all(isinstance(item, str) for item in value):
            raise BrokenError(f"`constraint` is {value!r}, but it must be a dict from matrices to constraints, as in {_CONSTRAINT}")
        for parameter, one in value.items():
            if not isinstance(one, Constraint):
                raise BrokenError(f"`constraint` gives '{parameter}' {one!r}, but it must be a constraint, as in {_CONSTRAINT}")
    elif name == "family" and (not isinstance(value, str) or not value.strip()):
        raise BrokenError(f"`family` is {value!r}, but it must be the words under which `gatelab list cells` shows the cell")
    elif name == "retention" and not isinstance(value, str):
        raise BrokenError(f"`retention` is {value!r}, but it must be the name of a gate that `step` returns")
    elif name == "peer" and not (value is None or (inspect.isclass(value) and issubclass(value, nn.RNNBase))):
        raise BrokenError(f"`peer` is {value!r}, but it must be one of torch's recurrent modules or None")


def _check_signature(cls: "type[Cell]") -> None:
    for name in ("step", "before"):
        static = inspect.getattr_static(cls, name)
        arguments = ("a", "s", "p") if isinstance(static, (staticmethod, classmethod)) else ("self", "a", "s", "p")
        try:
            inspect.signature(getattr(cls, name)).bind(*arguments)
        except TypeError as error:
            raise BrokenError(f"`{name}` must take (self, a, s, p): {error}") from error


def check_declarations(cell: "Cell") -> None:
    """Refuses names that cannot be used, and references to names that do not exist.

    Raises:
        BrokenError: the message says what is declared and what is accepted.
    """
    for name in (*DECLARED, "memory", "initial_bias"):
        try:
            value = getattr(cell, name)
        except Exception as error:
            raise BrokenError(f"`{name}` cannot be read: {type(error).__name__}: {error}") from error
        _check_kind(name, value)
    if not isinstance(cell.initial_bias, Mapping) or not all(
        isinstance(value, (int, float)) for value in cell.initial_bias.values()
    ):
        raise BrokenError(f"`initial_bias` is {cell.initial_bias!r}, but it must be a dict from pre-activations to numbers")
    if not cell.gates or not cell.state:
        raise BrokenError("it must declare `gates` (its pre-activations) and `state` (what it carries)")
    check_delay(cell)
    if cell.delay and not cell.delayed:
        raise BrokenError("`delay` has no effect, because __post_init__ does not call super().__post_init__()")
    if not isinstance(cell.memory, (Options, type(None))):
        raise BrokenError(f"`memory` is {cell.memory!r}, but it must be a gatelab.cells.Attention or None")
    declared = {"gates": cell.gates, "state": cell.state, "vectors": cell.vectors, "late": values_of(cell)}
    for what, names in [*declared.items(), ("gates", cell.gates.values())]:
        _check_names(what, names)
    taken = reserved() if cell.vectors else ()
    for name in cell.vectors:
        if name in taken or name.startswith("memory_") or name.removeprefix("W_") in without_weights(cell, "raw"):
            raise BrokenError(f"the vector '{name}' must have another name: a layer uses `{name}` for something else")
    for name, kind in cell.sources.items():
        if kind not in SOURCES:
            accepted = ", ".join(map(repr, SOURCES[:-1]))
            raise BrokenError(f"`sources` gives '{name}' the source {kind!r}, but it must be {accepted} or {SOURCES[-1]!r}")
    if not cell.weighted_gates and not cell.recurrent_gates and not cell.late:
        raise BrokenError("no pre-activation has weights, so that nothing could be learnt; give one the source 'input'")
    if cell.recurrent_gates and not cell.fed_back:
        raise BrokenError(f"`feedback` is empty, but {', '.join(cell.recurrent_gates)} read what is fed back")
    for what, given, declared in (
        ("output", cell.output, "state"),
        ("feedback", cell.fed_back, "state"),
        ("sources", cell.sources, "gates"),
        ("scalars", cell.scalars, "vectors"),
        ("fixed", cell.fixed, "vectors"),
        ("initial_bias", cell.initial_bias, "gates"),
    ):
        known = cell.biased_gates if what == "initial_bias" else getattr(cell, declared)
        for item in given:
            if item not in known:
                raise BrokenError(f"{what} names '{item}', which is not among {', '.join(known)}; `{declared}` declares those")
    if cell.outputs[0] != cell.state[0] or len(set(cell.outputs)) < len(cell.outputs):
        raise BrokenError(
            f"`output` is {cell.output!r}, but it must begin with '{cell.state[0]}', the first part of the state, and "
            "name no part twice"
        )
    if not isinstance(cell.head_count, int) or isinstance(cell.head_count, bool) or cell.head_count < 1:
        raise BrokenError(
            f"`heads` is {cell.head_count!r}, but it must be a number of blocks from 1, as in heads: int = option(4, ...)"
        )
    check_late(cell)
    _check_fixed(cell)
    _check_initial(cell)
    _check_constraint(cell)


def _check_fixed(cell: "Cell") -> None:
    """What is not learned is the same in every network."""
    for name, start in cell.fixed.items():
        if start.random or start.square:
            raise BrokenError(
                f"`fixed` gives '{name}' {start}, but it must be the same numbers at every draw, as in Groups((1, 2, 4))"
            )
        if name in cell.scalars:
            raise BrokenError(f"`fixed` and `scalars` both name '{name}', but a number that is not learned is one for each unit")


def _check_initial(cell: "Cell") -> None:
    """Every distribution belongs to a parameter, or to a block of one, and can fill it."""
    D, H = 3, 2 * cell.head_count  # different, so that W is not square
    shapes = cell.shapes(D, H)
    known = [*shapes, *(f"{name}.{gate}" for name in shapes for gate in cell.rows(name))]
    for name, start in cell.initial.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean '{near[0]}'?" if near else ""
            raise BrokenError(f"`initial` names the parameter '{name}', but there are only {', '.join(known)}{hint}")
        shape = shapes[name.partition(".")[0]]
        for read in start.reads:
            if read not in list(shapes)[: list(shapes).index(name.partition(".")[0])]:
                raise BrokenError(f"`initial` gives '{name}' {start}, but '{read}' is not a parameter that is declared before it")
        if start.square and shape[1:] != (H,):
            raise BrokenError(f"`initial` gives '{name}' {start}, but only a square block can be that, as R of one fed back part")


def _check_constraint(cell: "Cell") -> None:
    """Every constraint belongs to a square block of a recurrent matrix."""
    H = 2 * cell.head_count
    shapes = {name: shape for name, shape in cell.shapes(3, H).items() if name == "R" or name.startswith("R_")}
    known = [*shapes, *(f"{name}.{gate}" for name in shapes for gate in cell.rows(name))]
    for name, constraint in cell.constraint.items():
        if name not in known:
            raise BrokenError(
                f"`constraint` names the matrix '{name}', but the cell has {', '.join(known) or 'no recurrent product'}"
            )
        if shapes[name.partition(".")[0]][1] != H:
            reason = "only a block that reads one part can be square, in a cell without heads"
            raise BrokenError(f"`constraint` gives '{name}' {constraint}, but {reason}")


def _check_names(what: str, names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if not is_name(name):
            raise BrokenError(f"`{what}` has the name '{name}', but a name consists of letters, digits and underscores")
        if name in seen:
            raise BrokenError(f"`{what}` has the name '{name}' twice")
        seen.add(name)


def is_name(name: object) -> bool:
    """Whether `a.<name>` is valid Python and the name can be part of a metric key."""
    return isinstance(name, str) and name.isidentifier() and not keyword.iskeyword(name) and not name.startswith("__")
