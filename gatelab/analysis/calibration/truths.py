"""Made-up runs whose truth is known: scores and times to solve of the four kinds that tasks have."""

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from gatelab.analysis.statistics.scales import LINEAR, Axis
from gatelab.analysis.statistics.survival import Times
from gatelab.runs import Shape

BUDGET, EVERY = 900, 50  # steps of training, and between validations
CHANCE, SOLVED = 1 / 6, 0.01  # of adding
ITEMS = 300  # test sequences of a share
_MANY = 200_000  # runs that a truth is computed from

Scores = NDArray[np.float64]


@dataclass(frozen=True)
class Truth:
    """How the scores of a variant's runs are distributed.

    Attributes:
        name: for the table.
        draw: scores of a shape.
        axis, shape: as a task that has such scores declares them; `higher_is_better`: their direction.
        chance, solved: the levels, where there are any.
        slow: for times to solve, by how much the steps of a run that solves the task scatter (sigma of their logarithm).
        pace: what these steps are multiplied by.
    """

    name: str
    draw: Callable[[np.random.Generator, tuple[int, ...]], Scores]
    axis: Axis = LINEAR
    shape: Shape = "any"
    higher_is_better: bool = False
    chance: float | None = None
    solved: float | None = None
    slow: float = 0.3
    pace: float = 1.0

    def times(self, rng: np.random.Generator, scores: Scores) -> Times:
        """When runs with these scores solved their task: at a validation around step 400 x pace, or not within the budget."""
        assert self.solved is not None
        steps = EVERY * np.ceil(400 * self.pace * np.exp(self.slow * rng.standard_normal(scores.shape)) / EVERY)
        done = (scores <= self.solved) & (steps <= BUDGET)
        return Times(np.where(done, steps, BUDGET), done)


def _normal(rng: np.random.Generator, shape: tuple[int, ...]) -> Scores:
    return 0.7 + 0.05 * rng.standard_normal(shape)


def _lognormal(rng: np.random.Generator, shape: tuple[int, ...]) -> Scores:
    return 0.01 * np.exp(rng.standard_normal(shape))


def _bimodal(p: float) -> Callable[[np.random.Generator, tuple[int, ...]], Scores]:
    def draw(rng: np.random.Generator, shape: tuple[int, ...]) -> Scores:
        scatter = rng.standard_normal(shape)
        return np.where(rng.random(shape) < p, 1e-3 * np.exp(0.5 * scatter), 0.1645 * np.exp(0.005 * scatter))

    return draw


def _saturated(rng: np.random.Generator, shape: tuple[int, ...]) -> Scores:
    """Shares of 300 items with half an error on average: six runs of ten have none."""
    return 1 - rng.poisson(0.5, shape) / ITEMS


def _wild(rng: np.random.Generator, shape: tuple[int, ...]) -> Scores:
    return 0.7 + 0.15 * rng.standard_normal(shape)


NORMAL = Truth("normal", _normal, shape="single")
LOGNORMAL = Truth("lognormal, log scale", _lognormal, Axis("log"), "single")
WILD = Truth("normal with 3 times the sd", _wild, shape="single")
BIMODAL = [Truth(f"bimodal {p:g}", _bimodal(p), Axis("log"), "any", False, CHANCE, SOLVED) for p in (0.5, 0.67, 0.9)]
# Runs that solve the task in half the time of those above, if they solve it: the model behind a ratio of times.
HASTY = [dataclasses.replace(truth, name=f"{truth.name}, half time", pace=0.5) for truth in BIMODAL]
SATURATED = Truth("saturated", _saturated, Axis("logit", ITEMS), "any", True)
# What a task may declare wrongly: that its scores scatter around one value, or that they do so on a linear scale.
WRONG = [
    Truth("lognormal as linear", _lognormal, shape="single"),
    *(Truth(f"{item.name} as single", item.draw, item.axis, "single", False, CHANCE, SOLVED) for item in BIMODAL),
    Truth("saturated as single", _saturated, SATURATED.axis, "single", True),
]


@lru_cache(maxsize=64)
def true_mean(truth: Truth) -> float:
    """The mean on the scale, as a score."""
    return truth.axis.back(float(truth.axis.forward(_all(truth)).mean()))


@lru_cache(maxsize=64)
def true_median(truth: Truth) -> float:
    return float(np.median(_all(truth)))


@lru_cache(maxsize=64)
def linear_mean(truth: Truth) -> float:
    """The mean of the scores as they are, without a scale."""
    return float(_all(truth).mean())


@lru_cache(maxsize=64)
def spread(truth: Truth) -> float:
    """The standard deviation of the scores as they are."""
    return float(_all(truth).std())


@lru_cache(maxsize=64)
def true_median_time(truth: Truth) -> float:
    """The step by which half of the runs solve the task; infinite where fewer do within the budget."""
    rng = np.random.default_rng(6)
    return float(np.median(_until_solved(truth.times(rng, truth.draw(rng, (_MANY,))))))


@lru_cache(maxsize=64)
def true_time(truth: Truth) -> float:
    """The mean of min(steps to solve, budget)."""
    rng = np.random.default_rng(2)
    return float(np.asarray(truth.times(rng, truth.draw(rng, (_MANY,))).times, dtype=float).mean())


@lru_cache(maxsize=64)
def true_share_by(truth: Truth, step: float) -> float:
    """The share of runs that solve the task by a step."""
    rng = np.random.default_rng(7)
    return float((_until_solved(truth.times(rng, truth.draw(rng, (_MANY,)))) <= step).mean())


@lru_cache(maxsize=64)
def true_share(truth: Truth) -> float:
    """The share of runs that solve the task within the budget."""
    rng = np.random.default_rng(5)
    return float(np.asarray(truth.times(rng, truth.draw(rng, (_MANY,))).solved).mean())


@lru_cache(maxsize=256)
def true_shift(one: Truth, other: Truth) -> float:
    """The median of all differences on the scale, as `Axis.back_difference` writes it; of scores of one distribution 0 or 1."""
    if one == other:
        return 0.0 if one.axis.scale == "linear" else 1.0
    rng = np.random.default_rng(3)
    x, y = (truth.axis.forward(truth.draw(rng, (_MANY,))) for truth in (one, other))
    value = float(np.median(x - y))
    return value if one.axis.scale == "linear" else math.exp(value)


@lru_cache(maxsize=256)
def true_improvement(one: Truth, other: Truth, on_time: bool = False) -> float:
    """The probability that a run of the first is better."""
    rng = np.random.default_rng(4)
    x, y = (truth.draw(rng, (_MANY,)) for truth in (one, other))
    sign = 1.0 if one.higher_is_better else -1.0
    if on_time:
        x, y = (_until_solved(truth.times(rng, scores)) for truth, scores in ((one, x), (other, y)))
        sign = -1.0
    return float((sign * x > sign * y).mean() + 0.5 * (x == y).mean())


def _until_solved(times: Times) -> Scores:
    return np.where(np.asarray(times.solved), np.asarray(times.times, dtype=float), math.inf)


def _all(truth: Truth) -> Scores:
    return truth.draw(np.random.default_rng(1), (_MANY,))
