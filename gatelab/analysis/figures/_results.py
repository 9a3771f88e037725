"""Scores: who is best, how they got there, at what cost, and which options matter."""

import math
from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np

from gatelab.analysis.figures._model import Axis, DrawnVariant, Figure, Panel, Problem, Series, spans
from gatelab.analysis.reading.series import Curve


def metric_key(problem: Problem) -> str:
    """The validation score to draw: the task's, or while no run has finished the first that is not the loss."""
    if problem.scored.metric:
        return f"val/{problem.scored.metric}"
    keys = {key for variant in problem.variants for key in variant.recorded.curves if key.startswith("val/")}
    return min(keys - {"val/loss"}, default="val/loss")


def ranking(problem: Problem) -> Figure | None:
    """The test score with its interval, in the order of the comparison."""
    row = problem.scored
    series: list[Series] = []
    shown: list[int] = []
    every: list[float] = []
    for number, variant in enumerate(problem.variants):
        if variant.row.centre is not None and np.isfinite(variant.row.centre.value):
            centre, low, high = variant.row.centre
            low, high = (centre if end is None or not np.isfinite(end) else end for end in (low, high))
            series.append(Series(number, [centre], [len(shown)], [low], [high], variant.row.scores, f"n = {variant.row.n}"))
            shown.append(number)
            every += variant.row.scores
    if not series:
        return None
    log = _is_log(problem, every)
    x = Axis(f"test {row.metric}{_direction(problem)}", log)
    panel = Panel("", x, _names(problem, shown), series, _levels(problem))
    caption = (
        "Test score on the weights of the best validation: mean over the seeds with its 95% interval, or the median where a mean "
        "does not describe the runs (with an interval from 5 seeds on); small marks for single seeds."
    )
    if log:
        caption += " The axis is logarithmic: an interval that reaches below zero ends at its left edge."
    return Figure("ranking", "Ranking", caption, "ranges", [panel], wide=True)


def learning(problem: Problem) -> Figure | None:
    """Validation score against optimiser steps."""
    return _learning(
        problem,
        "learning",
        "Learning curves",
        "optimiser steps",
        lambda _, curve: curve.steps,
        "Mean over the seeds, band from the smallest to the largest seed. Finished and running runs, without failed ones; "
        "behind the "
        "step that the slowest seed has reached the mean is that of the others.",
    )


def wall_time(problem: Problem) -> Figure | None:
    """Validation score against the time that training took."""

    def seconds(variant: DrawnVariant, curve: Curve) -> np.ndarray:
        time = variant.recorded.seconds
        if time is None or not time.steps.size:
            return np.full(curve.steps.size, np.nan)
        return np.interp(curve.steps, time.steps, time.mean)

    return _learning(
        problem,
        "wall-time",
        "Learning curves against time",
        "training time (seconds)",
        seconds,
        "The same curves against the seconds of training up to each validation, from the median speed of every record; "
        "validation and "
        "start-up are not counted. Compare only runs of one machine under the same load.",
    )


def cost(problem: Problem) -> Figure | None:
    """Quality against what it costs."""
    kinds: list[tuple[str, Callable[[DrawnVariant], float | None]]] = [
        ("trained parameters", lambda variant: variant.row.parameters),
        ("FLOPs of one step of one sequence", lambda variant: variant.row.flops_per_step),
        ("seconds per optimiser step", lambda variant: variant.row.seconds_per_step),
    ]
    panels = []
    for label, of in kinds:
        series = []
        for number, variant in enumerate(problem.variants):
            row, x = variant.row, of(variant)
            if x is not None and row.centre is not None and np.isfinite(row.centre.value):
                centre, low, high = row.centre
                if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
                    series.append(Series(number, [x], [centre]))
                else:
                    series.append(Series(number, [x], [centre], [low], [high]))
        if series:
            y = [np.ravel(item.y)[0] for item in series]
            log = _is_log(problem, y)
            axis = Axis(f"test {problem.scored.metric}{_direction(problem)}", log)
            panels.append(Panel(label, Axis(label, spans([[np.ravel(s.x)[0] for s in series]], 5)), axis, series, _levels(problem)))
    caption = (
        "Test score (mean or median, as in the table) and its 95% interval against parameters, floating-point operations and time "
        "of a training step."
    )
    return Figure("cost", "Cost and quality", caption, "dots", panels) if panels else None


def options(problem: Problem) -> Figure | None:
    """What the options that a sweep varied do to the score."""
    values: dict[str, set[str]] = defaultdict(set)
    for row in problem.rows:
        for key, value in row.variant.config.items():
            if not key.startswith(("task.", "plugins")) and key != "cell.name":
                values[key].add(value)
    by_cell: dict[str, list[tuple[dict[str, str], tuple[float, ...], int]]] = defaultdict(list)
    for number, variant in enumerate(problem.variants):
        by_cell[variant.row.cell].append((variant.config, variant.row.scores, number))
    panels = []
    for key in sorted(key for key, found in values.items() if len(found) > 1):
        words = sorted(values[key], key=_number_or_text)
        series = []
        for members in by_cell.values():
            found: dict[str, list[float]] = defaultdict(list)
            for config, own, _ in members:
                if key in config:
                    found[config[key]] += own
            shown = [word for word in words if found.get(word)]
            if len(shown) > 1:
                y, low, high = ([reduce(found[word]) for word in shown] for reduce in (np.mean, np.min, np.max))
                series.append(Series(members[0][2], [words.index(word) for word in shown], y, low, high))
        if series:
            log = spans([item.y for item in series]) and not problem.scored.higher_is_better
            y_axis = Axis(f"test {problem.scored.metric}{_direction(problem)}", log)
            panels.append(Panel(key, Axis(key, categories=words), y_axis, series, _levels(problem)))
    caption = (
        "Mean test score of each cell at each value, over all seeds and over whatever else varied among the variants drawn; "
        "band from the "
        "worst to the best run."
    )
    return Figure("options", "Effects of options", caption, "lines", panels) if panels else None


def _learning(
    problem: Problem, name: str, title: str, label: str, at: Callable[[DrawnVariant, Curve], np.ndarray], caption: str
) -> Figure | None:
    key = metric_key(problem)
    series, curves = [], []
    for number, variant in enumerate(problem.variants):
        curve = variant.recorded.curves.get(key)
        if curve is not None and curve.steps.size:
            x = at(variant, curve)
            if np.isfinite(x).any():
                series.append(Series(number, x, curve.mean, curve.low, curve.high))
                curves.append(curve.mean)
    if not series:
        return None
    log = spans(curves) and not problem.scored.higher_is_better
    x = Axis(label, log=name == "wall-time" and spans([[np.nanmax(item.x) for item in series]], 5))
    y = Axis(f"validation {key.removeprefix('val/')}{_direction(problem)}", log)
    return Figure(name, title, caption, "lines", [Panel("", x, y, series, _levels(problem))], wide=True)


def _is_log(problem: Problem, values: Sequence[float]) -> bool:
    """Whether scores are drawn on a logarithmic axis: as their task declares, or losses that span decades."""
    return problem.scored.scale == "log" or (spans([values]) and not problem.scored.higher_is_better)


def _direction(problem: Problem) -> str:
    if not problem.scored.metric:
        return ""
    return f" ({'higher' if problem.scored.higher_is_better else 'lower'} is better)"


def _levels(problem: Problem) -> dict[str, float]:
    row = problem.scored
    return {name: value for name, value in (("chance", row.chance), ("solved", row.solved)) if value is not None}


def _names(problem: Problem, numbers: list[int]) -> Axis:
    return Axis("", categories=[problem.variants[number].name for number in numbers])


def _number_or_text(text: str) -> tuple[bool, float, str]:
    try:
        return False, float(text), text
    except ValueError:
        return True, 0.0, text
