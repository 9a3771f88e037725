"""Checks that a task keeps the contract: makes two rows of every split and does with them what training does."""

import functools
import math
from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor

from gatelab.errors import UserError
from gatelab.registry.contract import class_place
from gatelab.runs import Scale, Shape
from gatelab.tasks._task import Batch, Split, Task
from gatelab.tasks._watch import Watched

CHOICES = {"readout": ("last", "all"), "scale": get_args(Scale), "shape": get_args(Shape)}
TEXTS = ("metric", "chance_derivation", "solved_derivation")
FLAGS = ("higher_is_better", "carried")
OTHER_SEED = 1  # besides 0
DIGITS = 64  # of a SHA-256


def check_task(task: Task, name: str) -> None:
    """Makes two rows of every split and runs loss, metrics and constant on them; once for equal tasks.

    Args:
        task: the task.
        name: of the task, for the message.

    Raises:
        UserError: the task raises an error or breaks the contract, which `Task` describes; or its data are missing.
    """
    try:
        hash(task)
    except TypeError as error:
        raise UserError(
            f"Task '{name}': its options cannot be hashed: {error}; write @dataclass(frozen=True) above the class, and options "
            f"that are numbers, strings, booleans, null or lists of them ({class_place(type(task))})."
        ) from error
    _check(task, name)


@functools.lru_cache(maxsize=1024)
def _check(task: Task, name: str) -> None:
    watched = Watched(task, name)
    # The caller's default device and dtype do not affect the check.
    with torch.device("cpu"), torch.inference_mode(False), torch.enable_grad():
        _check_declarations(watched)
        for split in get_args(Split):
            _check_split(watched, split)
        _check_levels(watched)


def _check_declarations(watched: Watched) -> None:
    for member, choices in CHOICES.items():
        if (value := watched.value(member)) not in choices:
            accepted = f"{', '.join(map(repr, choices[:-1]))} or {choices[-1]!r}"
            raise watched.error(f"`{member}` is {value!r}, but it must be {accepted}", member)
    for member in TEXTS:
        if not isinstance(value := watched.value(member), str) or not value:
            raise watched.error(f"`{member}` is {value!r}, but it must be a string", member)
    for member in FLAGS:
        if not isinstance(value := watched.value(member), bool):
            raise watched.error(f"`{member}` is {value!r}, but it must be True or False", member)
    plateau = watched.value("plateau")
    if not isinstance(plateau, Integral) or isinstance(plateau, bool) or int(plateau) < 0:
        raise watched.error(f"`plateau` is {plateau!r}, but it must be an int of at least 0: optimiser steps", "plateau")
    sizes = {member: watched.value(member) for member in ("input_size", "output_size", "vocabulary")}
    for member, value in sizes.items():
        if member == "vocabulary" and value is None:
            continue
        if not isinstance(value, Integral) or isinstance(value, bool) or int(value) < 1:
            accepted = "an int of at least 1" + (" or None" if member == "vocabulary" else "")
            raise watched.error(f"`{member}` is {value!r}, but it must be {accepted}", member)
    if sizes["vocabulary"] not in (None, sizes["input_size"]):
        raise watched.error(
            f"`input_size` is {sizes['input_size']} and `vocabulary` {sizes['vocabulary']}, but they must be equal where inputs "
            "are tokens",
            "input_size",
        )
    lag = watched.value("lag")
    if lag is not None and not (_is_finite(lag) and lag > 0):
        raise watched.error(f"`lag` is {lag!r}, but it must be a number of steps greater than 0, or None", "lag")
    hashes = watched.value("data_hashes")()
    if not isinstance(hashes, Mapping) or not all(isinstance(value, str) and len(value) == DIGITS for value in hashes.values()):
        raise watched.error(f"data_hashes returns {hashes!r}, but it must be a dict from file names to SHA-256s", "data_hashes")


def _check_split(watched: Watched, split: Split) -> None:
    size = watched.size(split)
    # The last one as well: a size that is too large is found here rather than after an epoch.
    indices = np.array([0, 1 if size is None else size - 1][: 2 if size is None else size])
    batch = watched.batch(split, 0, indices)
    for part in ("x", "y"):
        value: Tensor = getattr(batch, part)
        if value.is_floating_point() and not value.isfinite().all():
            raise watched.error(f"batch('{split}') returns {part} with values that are not finite", "batch")
    _check_determinism(watched, split, indices, batch)
    _check_scores(watched, split, batch)


def _check_determinism(watched: Watched, split: Split, indices: np.ndarray, batch: Batch) -> None:
    """Each row is a function of (seed, split, index), in val and test of (split, index)."""
    seed = 0 if split == "train" else OTHER_SEED
    if _same(batch, _flipped(watched.batch(split, seed, indices[::-1].copy()))):
        return
    if not _same(batch, watched.batch(split, 0, indices)):
        problem = "returns other rows when it is called again; derive random numbers from (seed, split, index) only"
    elif not _same(batch, watched.batch(split, seed, indices)):
        problem = "depends on the seed, but every run must be scored by the same sequences"
    else:
        problem = f"returns other rows for the indices {indices[::-1].tolist()} than for {indices.tolist()}, reversed"
    raise watched.error(f"batch('{split}') {problem}", "batch")


def _flipped(batch: Batch) -> Batch:
    return Batch(*(None if value is None else value.flip(0) for value in batch))  # type: ignore[arg-type]


def _same(batch: Batch, other: Batch) -> bool:
    """Whether two batches have the same rows, ignoring what comes after the end of a row."""
    if any((value is None) != (twin is None) for value, twin in zip(batch, other, strict=True)):
        return False
    for value, twin in zip(batch, other, strict=True):
        if value is None or twin is None:
            continue
        if value.shape != twin.shape or value.dtype != twin.dtype:
            return False
        unequal = value != twin
        if batch.lengths is not None and value.shape[1:2] == batch.x.shape[1:2]:
            unequal &= _valid(batch).view(*batch.x.shape[:2], *[1] * (value.dim() - 2))
        if unequal.any():
            return False
    return True


def _valid(batch: Batch) -> Tensor:
    """Which steps are before the end of their row (B, T)."""
    steps = torch.arange(batch.x.shape[1])
    return steps < (torch.full((len(batch.x),), len(steps)) if batch.lengths is None else batch.lengths)[:, None]


def _check_scores(watched: Watched, split: Split, batch: Batch) -> None:
    """Loss and its gradient, metrics, weight and constant on random outputs."""
    where = f" of '{split}'"
    generator = torch.Generator().manual_seed(0)
    output = torch.randn(watched.output_shape(batch), generator=generator).requires_grad_()
    loss = watched.loss(output, batch, where)
    if not loss.isfinite():
        raise watched.error(f"loss{where} is {loss.item()} on random outputs, but it must be finite", "loss")
    (gradient,) = torch.autograd.grad(loss, output, allow_unused=True)
    if gradient is None or not gradient.any():
        raise watched.error(f"loss{where} does not depend on the output; its gradient is 0", "loss")
    if not gradient.isfinite().all():
        raise watched.error(f"the gradient of loss{where} by the output is not finite on random outputs", "loss")
    if watched.task.readout == "all" and gradient[~_valid(batch)].any():
        raise watched.error(f"loss{where} depends on outputs behind `lengths`; leave those steps out", "loss")
    watched.weight(batch)
    with torch.no_grad():
        scores = watched.metrics(output.detach(), batch, where)
        total, weight = scores[watched.task.metric]
        if not total.isfinite() or not float(weight):
            pair = f"({float(total)}, {float(weight)})"
            raise watched.error(
                f"metrics{where} returns '{watched.task.metric}' as {pair} on random outputs; the sum must be finite and the "
                "weight greater than 0",
                "metrics",
            )
        watched.metrics(watched.constant(batch, where), batch, f"{where} on the constant")


def _check_levels(watched: Watched) -> None:
    levels = [watched.value(member) for member in ("chance", "solved")]
    for member, value in zip(("chance", "solved"), levels, strict=True):
        if not _is_finite(value):
            raise watched.error(f"`{member}` is {value!r}, but it must be a finite float", member)
    scale = watched.value("scale")
    low, high = {"log": (0.0, math.inf), "logit": (0.0, 1.0)}.get(scale, (-math.inf, math.inf))
    for member, value in zip(("chance", "solved"), levels, strict=True):
        if not (low < value < high):
            accepted = "greater than 0" if scale == "log" else "between 0 and 1"
            raise watched.error(f"`{member}` is {value:.5g}, but on the scale '{scale}' it must be {accepted}", member)
    chance, solved = levels
    better = watched.task.higher_is_better
    if chance == solved or (solved > chance) != better:
        raise watched.error(
            f"`solved` is {solved:.5g} and `chance` {chance:.5g}, but higher_is_better is {better}; solved must be the "
            "better of the two",
            "solved",
        )


def _is_finite(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
