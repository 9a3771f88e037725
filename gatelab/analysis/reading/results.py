"""What runs came to: the summaries of one variant, read and checked."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, get_args

from gatelab.analysis.reading.variants import Variant
from gatelab.errors import UserError
from gatelab.runs import Run, Scale, Shape, Skipped
from gatelab.runs.files import int_or_none
from gatelab.runs.matched import Matched

_Word = TypeVar("_Word", Scale, Shape)


@dataclass(frozen=True)
class About:
    """What the words of a report need to know of a run's cell and task. Empty where a run does not say it.

    Attributes:
        cell: half a sentence on the cell.
        gate: the gate that multiplies the old state: what timescales are read off.
        tape: whether the cell reads earlier states back, besides keeping one; `window`: over how many steps, None for all.
        lag: steps over which the task asks to keep something.
    """

    cell: str = ""
    gate: str = ""
    tape: bool = False
    window: int | None = None
    lag: float | None = None


@dataclass(frozen=True)
class Result:
    """What the comparison needs of a finished run, or of one that diverged: that one has the score nan and little else.

    Attributes:
        metric: the name of the score; None of a diverged run.
        score: on the test set.
        scale: on which scores are compared; "linear" of a run that an earlier version trained, whose summary does not name one.
        shape: how scores scatter over seeds, as the task declares it; "any", which assumes nothing, of such a run.
        test_size: number of test sequences.
        test_error: standard error of the score that the sampling of the test split gives it, estimated from `test_parts` parts.
        constant: score of the constant predictor on the same test split; `chance` is its expectation.
        matched: how its hidden size follows from another cell.
        flops_per_step: floating-point operations of one time step of one sequence, forward.
        sequence_length: T, time steps of a sequence; of padded ones, of a single validation sequence.
        seconds_per_step: of an optimiser step; `wall_seconds`: of the whole run.
        saturated: share of gate activations beyond the limits of the run (see `saturation`), mean over the gates.
    """

    run: Run
    metric: str | None
    higher_is_better: bool | None
    score: float
    chance: float | None = None
    solved: float | None = None
    scale: Scale = "linear"
    shape: Shape = "any"
    test_size: int | None = None
    test_error: float | None = None
    test_parts: int | None = None
    constant: float | None = None
    parameters: int | None = None
    matched: Matched | None = None
    flops_per_step: int | None = None
    sequence_length: int | None = None
    seconds_per_step: float | None = None
    wall_seconds: float | None = None
    saturated: float | None = None
    about: About = About()


def read_results(variant: Variant) -> tuple[list[Result], list[Skipped]]:
    """The results of the runs that finished or diverged, and the finished runs without usable ones."""
    results: list[Result] = []
    damaged = []
    metric = None
    for run in variant.runs:
        if run.diverged:
            results.append(Result(run, None, None, float("nan")))
        elif run.state == "finished":
            try:
                result = _result(run)
                metric = metric or result.metric
                if result.metric != metric:
                    raise UserError(f"summary.json: the metric is '{result.metric}', other runs have '{metric}'")
                results.append(result)
            except UserError as error:
                damaged.append(Skipped(run.path, str(error)))
    return results, damaged


def _result(run: Run) -> Result:
    """Reads a summary.

    Raises:
        UserError: it is missing or damaged.
    """
    summary = run.summary()
    try:
        metric = summary["metric"]
        if not isinstance(metric, str):
            raise TypeError("the metric is not a name")
        scale, test_size = _word(summary, "scale", get_args(Scale), "linear"), int_or_none(summary.get("test_size"))
        if scale == "logit" and not test_size:
            raise ValueError("scale is logit, but test_size is missing")
        return Result(
            run=run,
            metric=metric,
            higher_is_better=bool(summary["higher_is_better"]),
            score=float(summary["test"][metric]),
            chance=_optional(summary.get("chance")),
            solved=_optional(summary.get("solved")),
            scale=scale,
            shape=_word(summary, "shape", get_args(Shape), "any"),
            test_size=test_size,
            test_error=_optional(summary.get("test_error")),
            test_parts=int_or_none(summary.get("test_parts")),
            constant=_optional(summary.get("constant")),
            parameters=int_or_none(summary.get("parameters")),
            matched=Matched.read(summary.get("matched")),
            flops_per_step=int_or_none(summary.get("flops_per_step")),
            sequence_length=int_or_none(summary.get("sequence_length")),
            seconds_per_step=_optional(summary.get("seconds_per_step")),
            wall_seconds=_optional(summary.get("wall_seconds")),
            saturated=_saturated(summary.get("gates") or {}),
            about=_about(summary),
        )
    except KeyError as error:
        raise UserError(f"summary.json lacks {error}") from error
    except (TypeError, ValueError, AttributeError) as error:
        raise UserError(f"summary.json is damaged: {error}") from error


def _about(summary: Mapping[str, Any]) -> About:
    tape = summary.get("tape")
    return About(
        cell=str(summary.get("about") or ""),
        gate=str(summary.get("retention") or ""),
        tape=tape is not None,
        window=None if tape is None else int_or_none(tape.get("window")),
        lag=_optional(summary.get("lag")),
    )


def _optional(value: Any) -> float | None:
    return None if value is None else float(value)


def _word(summary: Mapping[str, Any], key: str, choices: tuple[_Word, ...], absent: _Word) -> _Word:
    """What a task declares in one word.

    Raises:
        ValueError: it is none of the choices.
    """
    word = summary.get(key, absent)
    if word not in choices:
        raise ValueError(f"{key} is {word!r}, but it must be one of {', '.join(choices)}")
    return word


def _saturated(gates: Mapping[str, Any]) -> float | None:
    """Left- and right-saturated share together, mean over the gates of all layers."""
    left = [float(value) for key, value in gates.items() if key.endswith("/saturated_left")]
    right = [float(value) for key, value in gates.items() if key.endswith("/saturated_right")]
    return (sum(left) + sum(right)) / len(left) if left else None
