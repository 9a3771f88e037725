"""What a run needs: threads, memory, disk and time, estimated from its configuration before it begins."""

import functools
import json
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import torch
from rich.filesize import decimal

from gatelab.cells import parameter_count
from gatelab.config import Config
from gatelab.config import build as build_config
from gatelab.diagnostics.cost import model_flops_per_step
from gatelab.errors import UserError
from gatelab.process.memory import total_bytes
from gatelab.sweeps.jobs.needs import Needs
from gatelab.tasks import TASKS
from gatelab.training.prepare import build_model, check
from gatelab.training.spec import Spec

# Measured on x86-64 with torch 2.13 and one thread. Only the order of magnitude matters.
PROCESS_BYTES = 200 * 2**20  # private memory, beside what it shares with the server that it was forked from
SECONDS_A_RUN = 0.5  # of start, first validation, test and end
SECONDS_A_STEP = 2e-3  # of training, whatever the model is
FLOPS_A_SECOND = 20e9  # of one core, for products and pointwise work of small models
WANDB_BYTES = 1_500_000  # of an offline W&B run
LARGEST_MACHINE = 64 * 2**40  # bytes of memory of the largest node that a cluster may have


def needs_of(config: Config, here: bool = False) -> Needs:
    """Checks that a run can be trained, and estimates what it needs.

    Args:
        config: the run.
        here: whether it is trained on this machine and must fit in its memory; otherwise in that of the largest possible node.

    Raises:
        UserError: as in `gatelab.training.prepare.check`, or it needs more memory than there is.
    """
    relevant = json.dumps(_relevant(config), sort_keys=True)
    _check_fits(relevant, _memory(config.machine.device) if here else LARGEST_MACHINE)
    return _needs(relevant)


def _memory(device: str) -> int:
    """The maximum memory for the tensors of a run on this machine, in bytes."""
    if device in ("auto", "cuda") and torch.cuda.is_available():
        return max(torch.cuda.get_device_properties(i).total_memory for i in range(torch.cuda.device_count()))
    return total_bytes()


def _check_fits(relevant: str, there: int) -> None:
    """Refuses a run that cannot fit in memory, before any of its tensors is made."""
    least = _least(relevant)
    if least <= there:
        return
    config = json.loads(relevant)
    sizes = {f"model.{name}": config["model"][name] for name in ("hidden_size", "num_layers")}
    sizes |= {"trainer.batch_size": config["trainer"]["batch_size"]}
    sizes |= {f"task.{name}": value for name, (value, _) in _lengths(config["task"]).items()}
    raise UserError(
        f"The run needs at least {decimal(least)} of memory, but there are {decimal(there)}: "
        f"{', '.join(f'{name}={value}' for name, value in sizes.items())}. Make the largest of them smaller."
    )


@functools.cache
def _least(relevant: str) -> int:
    """The least number of bytes for weights, gradients, one batch and the outputs of the top layer.

    It makes no tensor and no task, because these would have the questionable sizes.
    """
    spec = _spec(relevant)
    config, model, cell = spec.config, spec.config.model, spec.cell
    directions, size = model.directions, 8 if config.trainer.precision == "f64" else 4
    width = directions * cell.output_size(model.hidden_size)
    parameters = 0  # of a matched model the size is not known here
    if model.match == "units":
        sizes = [1, *[width] * (model.num_layers - 1)]
        each = {D: parameter_count(cell, D, model.hidden_size, model.bias) for D in set(sizes)}
        parameters = directions * sum(each[D] for D in sizes)
    steps = max(1, sum(value * each for value, each in _lengths(config.task).values()))
    values = config.trainer.batch_size * steps * (1 + (width if model.match == "units" else 1))
    return 2 * parameters * size + values * size


def _lengths(task: Mapping[str, Any]) -> dict[str, tuple[int, int]]:
    """The options of a task that set the length of its sequences, by name: the value, and the steps that each unit adds."""
    given = {name: value for name, value in task.items() if name != "name"}
    found = {}
    for field in fields(TASKS.get(task["name"])):
        each, value = field.metadata.get("steps"), given.get(field.name, field.default)
        if each is not None and isinstance(value, int):
            found[field.name] = (value, each)
    return found


def kind_of(config: Mapping[str, Any]) -> str:
    """What determines the time of a step: equal for runs that differ in seed, learning rate and the like."""
    parts = {name: config.get(name) for name in ("cell", "task", "model")}
    trainer = {name: config["trainer"].get(name) for name in ("batch_size", "precision", "val_every", "probe_every")}
    return json.dumps(parts | trainer, sort_keys=True)


def _relevant(config: Config) -> dict[str, Any]:
    """The configuration without options that are never refused or costly: a sweep over a thousand seeds is checked once."""
    return config.plain() | {
        "seed": 0,
        "data_seed": None,
        "optimizer": {"name": "adamw"},
        "schedule": {},
        "out": ".",
        "sweep": None,
    }


@functools.lru_cache(maxsize=1)  # `_least` and `_needs` are called in turn
def _spec(relevant: str) -> Spec:
    return Spec(build_config(json.loads(relevant)))


@functools.cache
def _needs(relevant: str) -> Needs:
    spec = _spec(relevant)
    check(spec)
    config, task, settings = spec.config, spec.task, spec.config.trainer
    with torch.device("meta"):
        model = build_model(spec)
    rnn, rows = model.rnn, settings.batch_size
    length = spec.length
    parameters = sum(value.numel() for value in model.parameters())
    directions = rnn.num_directions
    size = 8 if settings.precision == "f64" else 4
    # Every layer keeps pre-activations, states and its output, and gets a gradient of it; the head its outputs.
    kept = directions * rnn.num_layers * rnn.hidden_size * (len(rnn.cell.gates) + len(rnn.cell.state) + 2)
    values = rows * length * (task.input_size + kept + (2 * task.output_size if model.readout == "all" else 2))
    states = 4 * parameters * size  # weights, gradients, two moments
    checkpoints = 4 * 3 * parameters * size  # best, last, the previous one and the one being written: weights and moments
    lines = 300 * settings.max_steps // settings.log_every
    looks = settings.max_steps // settings.probe_every if settings.probe_every else 0
    units = directions * rnn.num_layers * rnn.hidden_size * (len(rnn.cell.gates) + len(rnn.cell.state))
    records = lines + looks * (4000 + 12 * units)
    step = SECONDS_A_STEP + 3 * rows * length * model_flops_per_step(model, length) / FLOPS_A_SECOND
    return Needs(
        threads=config.machine.threads,
        memory=PROCESS_BYTES + states + values * size,
        disk=50_000 + checkpoints + records + (WANDB_BYTES + records if config.logger.name == "wandb" else 0),
        seconds=SECONDS_A_RUN + settings.max_steps * step,
        matched=spec.matched,
    )
