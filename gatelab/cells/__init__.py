"""Equations: one gating variant a file, found by its file stem."""

from typing import TYPE_CHECKING

from gatelab.lazy import lazily
from gatelab.registry import Registry

if TYPE_CHECKING:
    from gatelab.cells._biases import bias_option
    from gatelab.cells._cell import Attention, Cell, OdysseyCell, Parts, by_position, parameter_count
    from gatelab.cells._constraint import Antisymmetric, Constraint, Hierarchy, Orthogonal, SkewMix, constrained
    from gatelab.cells._disturbed import Disturbed, has_products, held_by_zoneout, replaying
    from gatelab.cells._drawn import drawing
    from gatelab.cells._initial import (
        Constant,
        Cycle,
        Depth,
        Groups,
        Identity,
        Log,
        Logit,
        Normal,
        Place,
        Ramp,
        Ring,
        Rotations,
        Scaled,
        Start,
        Uniform,
        UniformGate,
    )
    from gatelab.cells._late import reads_of, ready, stage_of, stages, values_of, yielded
    from gatelab.cells._normalized import normalized
    from gatelab.cells._operands import operand_shapes, operands, without_weights
    from gatelab.cells._rates import LogRate, RingGain
    from gatelab.cells._reductions import (
        REDUCTIONS,
        Cut,
        cumulate,
        largest,
        mean,
        normalize,
        normalize_together,
        reductions_of,
        softmax,
        total,
        watched,
    )
    from gatelab.cells._retention import keeping
    from gatelab.cells._written import Equation, equations

CELLS: "Registry[Cell]" = Registry("cell", "gatelab.cells", "gatelab.cells._cell:Cell")  # the names alone need no torch

__all__ = [
    "CELLS",
    "REDUCTIONS",
    "Antisymmetric",
    "Attention",
    "Cell",
    "Constant",
    "Constraint",
    "Cut",
    "Cycle",
    "Depth",
    "Disturbed",
    "Equation",
    "Groups",
    "Hierarchy",
    "Identity",
    "Log",
    "LogRate",
    "Logit",
    "Normal",
    "OdysseyCell",
    "Orthogonal",
    "Parts",
    "Place",
    "Ramp",
    "Ring",
    "RingGain",
    "Rotations",
    "Scaled",
    "SkewMix",
    "Start",
    "Uniform",
    "UniformGate",
    "bias_option",
    "by_position",
    "constrained",
    "cumulate",
    "drawing",
    "equations",
    "has_products",
    "held_by_zoneout",
    "keeping",
    "largest",
    "mean",
    "normalize",
    "normalize_together",
    "normalized",
    "operand_shapes",
    "operands",
    "parameter_count",
    "reads_of",
    "ready",
    "reductions_of",
    "replaying",
    "softmax",
    "stage_of",
    "stages",
    "total",
    "values_of",
    "watched",
    "without_weights",
    "yielded",
]

_STARTS = (
    "Constant",
    "Cycle",
    "Depth",
    "Groups",
    "Identity",
    "Log",
    "Logit",
    "Normal",
    "Place",
    "Ramp",
    "Ring",
    "Rotations",
    "Scaled",
    "Start",
    "Uniform",
)

_HOMES = dict.fromkeys(("Attention", "Cell", "OdysseyCell", "Parts", "by_position", "parameter_count"), "_cell")
_HOMES |= dict.fromkeys((*_STARTS, "UniformGate"), "_initial")
_HOMES |= dict.fromkeys(("ready", "reads_of", "stage_of", "stages", "values_of", "yielded"), "_late")
_HOMES |= dict.fromkeys(("Antisymmetric", "Constraint", "Hierarchy", "Orthogonal", "SkewMix", "constrained"), "_constraint")
_HOMES |= dict.fromkeys(("operand_shapes", "operands", "without_weights"), "_operands")
_HOMES |= dict.fromkeys(("LogRate", "RingGain"), "_rates")
_HOMES |= dict.fromkeys(("Disturbed", "has_products", "held_by_zoneout", "replaying"), "_disturbed")
_UNITS = ("total", "mean", "cumulate", "largest", "softmax", "normalize", "normalize_together")
_HOMES |= dict.fromkeys((*_UNITS, "REDUCTIONS", "Cut", "reductions_of", "watched"), "_reductions")
_HOMES |= {
    "normalized": "_normalized",
    "bias_option": "_biases",
    "keeping": "_retention",
    "Equation": "_written",
    "drawing": "_drawn",
    "equations": "_written",
}

__getattr__ = lazily(__name__, {name: f"{__name__}.{module}" for name, module in _HOMES.items()})
