"""The figures of a comparison, as data: the page draws them with Observable Plot, `gatelab plot` with Matplotlib."""

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gatelab.errors import UserError, unknown
from gatelab.lazy import lazily

if TYPE_CHECKING:
    from gatelab.analysis.figures._gates import gates_of, natural
    from gatelab.analysis.figures._model import Axis, DrawnVariant, Figure, Panel, Problem, Series, plain
    from gatelab.analysis.figures._overall import together


@dataclass(frozen=True)
class Drawing:
    """A function that draws a figure. It is imported when it is called: the names of all figures are known without.

    Args:
        module: of this package.
        function: its name there, from which the figure has its own.
    """

    module: str
    function: str

    def __call__(self, problem: "Problem") -> "Figure | None":
        return getattr(importlib.import_module(f"{__name__}.{self.module}"), self.function)(problem)


def _drawings(*places: str) -> tuple[Drawing, ...]:
    return tuple(Drawing(*place.split(".")) for place in places)


# In the order of the page: a heading, and the figures below it, by module and function.
CHAPTERS: dict[str, tuple[Drawing, ...]] = {
    "At a glance": _drawings("_results.ranking", "_memory.memory"),
    "Learning": _drawings("_results.learning", "_solving.time_to_solve", "_results.wall_time"),
    "Memory and gradients": _drawings(
        "_memory.gradient_lag",
        "_memory.timescales",
        "_memory.retention",
        "_memory.recall",
        "_memory.state_growth",
        "_memory.dynamics",
        "_memory.gradient_norms",
        "_memory.gradient_blocks",
    ),
    "Gates": _drawings(
        "_gates.gate_units",
        "_gates.gate_positions",
        "_gates.saturation",
        "_gates.gate_events",
        "_gates.gate_training",
        "_gates.gate_density",
    ),
    "Cost and options": _drawings("_results.cost", "_results.options", "_search.tuning_budget"),
}
# The figures of all problems as one.
OVERALL = _drawings("_overall.overall", "_overall.profiles")
FIGURES = {drawing.function.replace("_", "-"): drawing for drawings in (*CHAPTERS.values(), OVERALL) for drawing in drawings}


def figure(name: str, problem: "Problem") -> "Figure | None":
    """The figure of this name; None if nothing that it needs was recorded.

    Raises:
        UserError: there is no figure of this name.
    """
    if name not in FIGURES:
        raise UserError(unknown("figure", name, FIGURES))
    return FIGURES[name](problem)


__all__ = [
    "CHAPTERS",
    "FIGURES",
    "OVERALL",
    "Axis",
    "Drawing",
    "DrawnVariant",
    "Figure",
    "Panel",
    "Problem",
    "Series",
    "figure",
    "gates_of",
    "natural",
    "plain",
    "together",
]

_HOMES = {"gates_of": "_gates", "natural": "_gates", "together": "_overall"}
_HOMES |= dict.fromkeys(("Axis", "DrawnVariant", "Figure", "Panel", "Problem", "Series", "plain"), "_model")

__getattr__ = lazily(__name__, {name: f"{__name__}.{module}" for name, module in _HOMES.items()})
