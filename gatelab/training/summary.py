"""The summary of a finished run: what `compare` needs of it."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch

from gatelab.diagnostics.cost import model_flops_per_step
from gatelab.runs import Run
from gatelab.training.attempt import Attempt


def summarize(attempt: Attempt, test: Mapping[str, float], best: str, seconds_per_step: float, steps: int) -> dict[str, Any]:
    """The summary; empty where another process leads the team.

    Args:
        test: the scores of the test, by key.
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
        "chance": task.chance,
        "solved": task.solved,
        "hidden_size": model.rnn.hidden_size,
        "matched": None if spec.matched is None else dataclasses.asdict(spec.matched),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "flops_per_step": model_flops_per_step(model, spec.length),
        "sequence_length": spec.length,
        # From the file and not from the probe: the last record may be of the process before an interruption.
        "gates": {key: values[-1] for key, (_, values) in recorded.items() if key.startswith("gate/")},
        "seconds_per_step": seconds_per_step,
        "wall_seconds": writer.wall_seconds,
        "steps": steps,
        "best_step": kept["global_step"],
        "val": kept["gatelab_scores"],
        "test": {key.partition("/")[2]: value for key, value in test.items()},
    }
