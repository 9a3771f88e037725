"""Computes all diagnostics of a trained model: what `gatelab inspect` adds to a run."""

from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gatelab.cells import CELLS
from gatelab.config import build
from gatelab.diagnostics import findings, keys, lyapunov, observe
from gatelab.diagnostics.findings import Findings
from gatelab.errors import UserError, first_line
from gatelab.models import SequenceModel
from gatelab.registry.plugins import only_for_now
from gatelab.runs import Run
from gatelab.runs.files import with_format, write_json
from gatelab.tasks import TASKS, Batch, Split, Task, check_task
from gatelab.training.data import EvaluationBatches
from gatelab.training.parallel import Team
from gatelab.training.prepare import build_model
from gatelab.training.scores import Scores
from gatelab.training.spec import Spec
from gatelab.training.trained import check_data, trained_with

EXPONENTS = 8  # the number of Lyapunov exponents, the largest ones
ROWS = 8  # rows whose exponents are averaged
STARTS = 2  # start directions of each
STEPS = 1000  # the most steps of these rows
JACOBIANS = 16  # steps whose singular values are averaged


def inspect(run: Run, checkpoint: str, split: Split, sequences: int, trust: bool = False) -> dict[str, Any]:
    """Scores a trained model on a split, computes its diagnostics, and adds both to `inspect.json`.

    Args:
        run: the run.
        checkpoint: "best" or "last".
        split: val or test. Scores are over the whole split.
        sequences: the number of first sequences for gates, states and gradients.
        trust: whether plugins that the run names may be executed wherever they are.

    Returns:
        What was added: `checkpoint`, `split`, `step`, `sequences`, `scores`, `scalars`, `histograms`, `arrays`, the files of
        `plugins`, and `left_out` with the reasons for statistics that are not defined for this cell.

    Raises:
        UserError: the checkpoint is missing or does not fit, data are missing, a plugin has changed or is not trusted,
            or inspect.json cannot be read.
    """
    try:
        earlier = run.inspections()
    except UserError as error:
        raise UserError(f"{run.path}: {error}.") from error
    plugins = trained_with(run, trust)
    with only_for_now([*plugins.values()], (CELLS, TASKS)):
        model, task, step = _load(run, checkpoint)
    scores = _scores(model, task, split)
    size = task.size(split)
    assert size is not None, "evaluation splits are finite"
    batch = task.batch(split, 0, np.arange(min(sequences, size)))
    settings = run.config["trainer"]
    limits = (settings.get("saturated_below", 0.1), settings.get("saturated_above", 0.9))
    layers, own, end, rows = observe.sampled(model, task, batch)
    found = findings.of_layers(layers, rows.events, *limits) | findings.of_flows(own, end, per_step=True)
    dynamics, left_out = _dynamics(model, batch.first(ROWS))
    result = {"checkpoint": checkpoint, "split": split, "step": step, "sequences": len(rows.x), "scores": scores}
    result |= asdict(found | dynamics) | {"left_out": left_out, "plugins": [str(path) for path in plugins]}
    write_json(run.path / "inspect.json", with_format(earlier | {f"{checkpoint}/{split}": result}))
    return result


def load(run: Run, checkpoint: str, trust: bool = False) -> tuple[SequenceModel, Task, int]:
    """The model of a checkpoint ("best" or "last"), its task and its optimiser step, on the CPU.

    Args:
        run, checkpoint, trust: as in `inspect`.

    Raises:
        UserError: as `inspect`.
    """
    with only_for_now([*trained_with(run, trust).values()], (CELLS, TASKS)):
        return _load(run, checkpoint)


def _load(run: Run, checkpoint: str) -> tuple[SequenceModel, Task, int]:
    path = run.path / "checkpoints" / f"{checkpoint}.ckpt"
    if not path.is_file():
        raise UserError(
            f"{run.path} has no checkpoint '{checkpoint}' ({path.name}); one is written at every validation "
            f"(trainer.val_every={run.config['trainer']['val_every']}). The run is {run.state} at step {run.status['step']}."
        )
    spec = Spec(build(run.config))
    check_data(run, spec.task.data_hashes())
    check_task(spec.task, spec.task_name)
    model = build_model(spec)
    try:
        kept = torch.load(path, weights_only=True, map_location="cpu")
        weights = {name.removeprefix("model."): value for name, value in kept["state_dict"].items()}
        model.to(next(iter(weights.values())).dtype).load_state_dict(weights)
    except Exception as error:  # torch has no error of its own for a damaged file
        raise UserError(f"{path} cannot be loaded into the model of its own configuration: {first_line(error)}.") from error
    return model.eval(), spec.task, kept["global_step"]


@torch.no_grad()
def _scores(model: SequenceModel, task: Task, split: Split) -> dict[str, float]:
    scores, state = Scores(), None
    for batch in EvaluationBatches(task, split):
        output, state = model.carry(batch.x, batch.lengths, state if task.carried else None)
        scores.add(task.metrics(output, batch))
    return scores.means(TASKS.name_of(type(task)), split, Team())


def _dynamics(model: SequenceModel, batch: Batch) -> tuple[Findings, dict[str, str]]:
    """Lyapunov exponents and singular values of every layer, along the states that the batch visits, in scan order."""
    rnn, found = model.rnn, Findings()
    if rnn.cell.memory is not None and rnn.cell.memory.window != 1:
        reason = "a cell with a memory of earlier states does not map one state to the next"
        return found, dict.fromkeys((keys.lyapunov("*", "*"), keys.jacobian("*", "*")), reason)
    T = min(STEPS, batch.x.shape[1] if batch.lengths is None else int(batch.lengths.min()))
    # In both directions a state depends on all steps of its row: without those behind T it would be another trajectory.
    seen, lengths = (batch.x, batch.lengths) if rnn.bidirectional else (batch.x[:, :T], None)
    with torch.no_grad(), observe.recording(rnn):
        rnn(model.encode(seen), lengths=lengths)
        recorded = rnn.recorded
    left_out = {}
    for name, (record, _) in recorded.items():
        weights = rnn.layers[name].weights()  # type: ignore[operator]
        n = len(rnn.cell.state) * rnn.hidden_size
        like = next(iter(record.s.values()))
        with torch.no_grad():
            steps = (lyapunov.jacobian(rnn.cell, weights, record, t) for t in range(T))
            spectrum = lyapunov.spectrum(steps, _tangents(len(batch.x), min(EXPONENTS, n), n, like), T // 2)
            at = torch.linspace(0, T - 1, min(JACOBIANS, T)).long()
            values = lyapunov.singular_values(lyapunov.jacobian(rnn.cell, weights, record, at), n, like[0, at, ..., :1])[:, 0]
        reason = _note_exponents(found, name, spectrum, T)
        if reason:
            left_out[keys.lyapunov(name, "*")] = reason
        found.array(keys.jacobian(name, "singular_values"), values.mean(0))
        found.scalar(keys.jacobian(name, "largest"), values[:, 0].mean().item())
        found.scalar(keys.jacobian(name, "smallest"), values[:, -1].mean().item())
    return found, left_out


def _note_exponents(found: Findings, name: str, spectrum: lyapunov.Spectrum, T: int) -> str:
    """Adds the exponents that the start directions agree about; returns why there are none, or ""."""
    if not spectrum.agreed:
        return (
            f"after {spectrum.transient} of {T} steps the largest exponent still depends on the start direction "
            f"({spectrum.exponents[0].item():.3g} nats a step, the starts {spectrum.over_starts[0].item():.2g} apart); longer "
            "sequences have more steps for the directions to settle"
        )
    found.array(keys.lyapunov(name, "exponents"), spectrum.exponents[: spectrum.agreed])
    found.scalar(keys.lyapunov(name, "largest"), spectrum.exponents[0].item())
    found.scalar(keys.lyapunov(name, "largest_over_starts"), spectrum.over_starts[0].item())
    found.scalar(keys.lyapunov(name, "largest_over_sequences"), spectrum.over_sequences[0].item())
    found.scalar(keys.lyapunov(name, "transient"), spectrum.transient)
    return ""


def _tangents(B: int, k: int, n: int, like: Tensor) -> Tensor:
    """The same random directions for every model, (STARTS, B, k, n)."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(STARTS, 1, k, n, generator=generator).to(like).expand(-1, B, -1, -1)
