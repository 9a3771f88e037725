"""Prepares a run: checks it, builds its model, chooses its device. Does not import Lightning, which takes seconds,
because the process that checks a sweep trains nothing.
"""

import contextlib
import logging
from typing import Any

import torch

from gatelab.config import Config
from gatelab.errors import UserError
from gatelab.kernels import Served, check_backend, serving
from gatelab.kernels.allocator import keep_memory
from gatelab.models import RNN, SequenceModel, initialize
from gatelab.process import place
from gatelab.tasks import check_task
from gatelab.training.parallel import Team, check_shares
from gatelab.training.spec import Spec

PRECISIONS = {"f32": "32-true", "f64": "64-true", "bf16": "bf16-mixed", "f16": "16-mixed"}

_log = logging.getLogger(__name__)


def check(spec: Spec) -> None:
    """Refuses what cannot be trained here, before anything is written.

    Raises:
        UserError: an unknown cell, task, option or backend, a value that is not accepted, or missing data or device.
    """
    _ = spec.cell  # runs its step, before anything that costs more
    check_task(spec.task, spec.task_name)  # refuses an unavailable data set, too
    with torch.device("meta"):
        build_model(spec)
    check_backend(spec.config.model.backend)
    here = place.place()
    if here is not None:
        check_shares(spec, here.size)
    accelerator(spec.config)


def set_up_process(config: Config) -> None:
    """Gives this process the threads and the allocator of a run."""
    torch.set_num_threads(config.machine.threads)
    if config.machine.allocator == "keep" and (reason := keep_memory()):
        _log.info("%s", reason)


def build_model(spec: Spec) -> SequenceModel:
    """The model of a run; its weights depend on torch's random state.

    Raises:
        UserError: the cell or one of its options does not exist, it lacks what `init` sets, there is no cell `match_to`, or a
            stream is to be read backwards.
    """
    config, task, shape = spec.config, spec.task, spec.config.model
    if task.carried and shape.bidirectional:
        raise UserError(
            f"model.bidirectional is true, but task '{spec.task_name}' is a stream without end, which cannot be read from "
            "there. Use model.bidirectional=false."
        )
    rnn = RNN(
        spec.cell,
        task.input_size,
        spec.hidden_size,
        shape.num_layers,
        shape.bias,
        True,
        shape.dropout if shape.num_layers > 1 else 0.0,  # with a single layer it acts only in front of the head
        shape.bidirectional,
        shape.backend,
        config.machine.checkpoint_every,
        recurrent_dropout=shape.recurrent_dropout,
        zoneout=shape.zoneout,
        zoneout_memory=shape.zoneout_memory,
        residual=shape.residual,
    )
    initialize(rnn, config.init)
    return SequenceModel(rnn, task.output_size, task.readout, task.vocabulary, shape.dropout, shape.input_noise)


def served(config: Config, model: SequenceModel, device: str) -> Served:
    """The backend that computes the time loop of a run, compiled if it has to be, and why an earlier one does not.

    Args:
        device: as `accelerator` chose it.

    Raises:
        UserError: model.backend names one that cannot serve.
    """
    precision = config.trainer.precision
    dtype = torch.float64 if precision == "f64" else torch.float32
    mixed = {"bf16": torch.bfloat16, "f16": torch.float16}.get(precision)
    with contextlib.nullcontext() if mixed is None else torch.autocast(device, mixed):
        return serving(model.rnn.rates.made_of(model.rnn.cell), dtype, device, model.rnn.backend)


def accelerator(config: Config, team: Team | None = None) -> dict[str, Any]:
    """Lightning's arguments for device and number format. Each process of a node has one of its GPUs.

    Raises:
        UserError: the device is missing, does not support this format, or cannot be shared by several processes.
    """
    device = config.machine.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if (device == "cuda" and not torch.cuda.is_available()) or (device == "mps" and not torch.backends.mps.is_available()):
        raise UserError(
            f"machine.device is '{device}', but torch {torch.__version__} finds no such device here. Use machine.device=cpu."
        )
    if config.trainer.precision == "f16" and device == "cpu":
        raise UserError("trainer.precision is f16, but float16 trains only on a GPU. Use f32, f64 or bf16 on the CPU.")
    devices: int | list[int] = 1
    if team is not None and team.size > 1:
        if device == "mps":
            raise UserError(
                "machine.device is 'mps', which several processes cannot share. Use one process, or machine.device=cpu."
            )
        if device == "cuda":
            devices = [team.local_rank % torch.cuda.device_count()]
            torch.cuda.set_device(devices[0])
    return {"accelerator": device, "devices": devices, "precision": PRECISIONS[config.trainer.precision]}
