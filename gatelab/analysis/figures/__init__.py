"""The figures of a comparison, as data: the page draws them with Observable Plot, `gatelab plot` with Matplotlib."""

from collections.abc import Callable

from gatelab.analysis.figures import _gates, _memory, _overall, _results, _search, _solving
from gatelab.analysis.figures._gates import gates_of, natural
from gatelab.analysis.figures._model import Axis, DrawnVariant, Figure, Panel, Problem, Series, plain
from gatelab.analysis.figures._overall import together
from gatelab.errors import UserError, unknown

# In the order of the page: a heading, and the figures below it.
CHAPTERS: dict[str, tuple[Callable[[Problem], Figure | None], ...]] = {
    "At a glance": (_results.ranking, _memory.memory),
    "Learning": (_results.learning, _solving.time_to_solve, _results.wall_time),
    "Memory and gradients": (
        _memory.gradient_lag,
        _memory.timescales,
        _memory.retention,
        _memory.recall,
        _memory.state_growth,
        _memory.dynamics,
        _memory.gradient_norms,
        _memory.gradient_blocks,
    ),
    "Gates": (
        _gates.gate_units,
        _gates.gate_positions,
        _gates.saturation,
        _gates.gate_events,
        _gates.gate_training,
        _gates.gate_density,
    ),
    "Cost and options": (_results.cost, _results.options, _search.tuning_budget),
}
# The figures of all problems as one.
OVERALL = (_overall.overall, _overall.profiles)
FIGURES = {function.__name__.replace("_", "-"): function for functions in (*CHAPTERS.values(), OVERALL) for function in functions}


def figure(name: str, problem: Problem) -> Figure | None:
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
