"""The settings that a cell was tried with, and their validation scores: what a tuning budget is spent on."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from gatelab.analysis.reading.variants import Variant
from gatelab.runs import Run


@dataclass(frozen=True)
class Tried:
    """Attributes:
    settings: the options that vary, as text; `scores`: of each the validation score, the mean over its seeds.
    """

    settings: tuple[str, ...]
    scores: tuple[float, ...]
    higher_is_better: bool
    metric: str


def tried_settings(variants: Iterable[Variant]) -> dict[str, Tried]:
    """By cell the settings of its finished or diverged runs.

    Args:
        variants: of one problem. What does not vary among the variants of a cell is not part of its settings, so that cells with
            different options of their own can have the same settings.

    Returns:
        Empty if no run has finished. A score worse than chance counts as chance, and so does a diverged run.
    """
    members: dict[str, list[Variant]] = defaultdict(list)
    for variant in variants:
        members[variant.cell].append(variant)
    finished = [run for own in members.values() for one in own for run in one.runs if run.outcome == "finished"]
    if not finished:
        return {}
    about = finished[0].summary()
    chance, higher = float(about["chance"]), bool(about["higher_is_better"])
    found = {}
    for cell, own in members.items():
        scores: dict[str, list[float]] = defaultdict(list)
        varying = [key for key in {key for one in own for key in one.config} if len({one.config.get(key) for one in own}) > 1]
        for one in own:
            setting = str([(key, one.config.get(key)) for key in sorted(varying)])
            scores[setting] += [_score(run, chance, higher) for run in one.runs if run.diverged or run.outcome == "finished"]
        means = {setting: float(np.mean(known)) for setting, known in sorted(scores.items()) if known}
        if means:
            found[cell] = Tried(tuple(means), tuple(means.values()), higher, str(about["metric"]))
    return found


def _score(run: Run, chance: float, higher: bool) -> float:
    if run.diverged:
        return chance
    summary = run.summary()
    return (max if higher else min)(chance, float(summary["val"][summary["metric"]]))
