"""The summary of a finished run: what `compare` needs of it."""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

import torch

from gatelab.diagnostics.cost import model_flops_per_step
from gatelab.runs import Run
from gatelab.tasks import Task
from gatelab.training.attempt import Attempt
from gatelab.training.data import EvaluationBatches
from gatelab.training.parallel import Team
from gatelab.training.scores import Error, Scores

# Not behind "et al.", "e.g." and "i.e.".
_SENTENCE_END = re.compile(r"(?<!\s)(?<!\bal)(?<!e\.g)(?<!i\.e)\.(?:\s|$)|;\s")


def summarize(
    attempt: Attempt, test: Mapping[str, float], error: Error, best: str, seconds_per_step: float, steps: int
) -> dict[str, Any]:
    """The summary; empty if another process leads the team.

    Args:
        test: the scores of the test, by key.
        error: of the task's metric among them.
        best: the checkpoint of the best validation.
        seconds_per_step: the median.
        steps: optimiser steps made.
    """
    if not attempt.team.leader:
        return {}
    spec, task, model, writer = attempt.spec, attempt.spec.task, attempt.model, attempt.writer
    kept = torch.load(best, weights_only=True, map_location="cpu")
    recorded = Run(writer.path, {}, {}).metrics("gate")
    return {
        "cell": spec.config.cell["name"],
        "task": spec.task_name,
        "metric": task.metric,
        "higher_is_better": task.higher_is_better,
        "scale": task.scale,
        "shape": task.shape,
        "test_size": task.size("test"),
        "test_error": error.value,
        "test_parts": error.parts,
        "chance": task.chance,
        "constant": _constant_score(task, spec.task_name),
        "solved": task.solved,
        "lag": task.lag,
        "about": about(type(model.rnn.cell)),
        "retention": model.rnn.cell.retention if any(key.startswith("timescale/") for key in recorded) else None,
        "tape": None if (memory := model.rnn.cell.memory) is None else {"window": memory.window},
        "hidden_size": model.rnn.hidden_size,
        "matched": None if spec.matched is None else dataclasses.asdict(spec.matched),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "flops_per_step": model_flops_per_step(model, spec.length),
        "sequence_length": spec.length,
        # From the file, not from the probe: the last record may come from the process before an interruption.
        "gates": {key: values[-1] for key, (_, values) in recorded.items() if key.startswith("gate/")},
        "seconds_per_step": seconds_per_step,
        "wall_seconds": writer.wall_seconds,
        "steps": steps,
        "best_step": kept["global_step"],
        "val": kept["gatelab_scores"],
        "test": {key.partition("/")[2]: value for key, value in test.items()},
    }


def about(cls: type) -> str:
    """The first sentence of a class's docstring, up to a semicolon, without its full stop; "" if it has none of its own."""
    text = " ".join((cls.__doc__ or "").partition("\n\n")[0].split())
    if text.startswith(f"{cls.__name__}("):  # what a dataclass without docstring gets
        return ""
    return _SENTENCE_END.split(text, maxsplit=1)[0].replace("`", "")


def _constant_score(task: Task, name: str) -> float:
    """The score of the constant predictor on this very test split, where `chance` is its expectation."""
    scores = Scores()
    for batch in EvaluationBatches(task, "test"):
        scores.add(task.metrics(task.constant(batch), batch))
    return scores.means(name, "test", Team())[task.metric]
