"""Converts the arguments of an RNN from the forms that users write to those of the time loop, or says what does not fit."""

import dataclasses
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from gatelab.cells import Cell
from gatelab.errors import UserError
from gatelab.kernels import check_dense, check_lengths, check_resets


def check_counts(counts: dict[str, Any]) -> None:
    """Refuses what is not an integer of at least 1, or None.

    Raises:
        UserError: the message names the argument.
    """
    for name, value in counts.items():
        if value is not None and (not isinstance(value, Integral) or isinstance(value, bool)):
            raise UserError(f"RNN: {name} is {value!r} of type {type(value).__name__}, but it must be an integer.")
        if value is not None and value < 1:
            raise UserError(f"RNN: {name} is {value}, but it must be at least 1.")


def check_switches(switches: dict[str, Any]) -> None:
    """Refuses what is neither True nor False.

    Raises:
        UserError: the message names the argument.
    """
    for name, value in switches.items():
        if not isinstance(value, bool):
            raise UserError(f"RNN: {name} is {value!r} of type {type(value).__name__}, but it must be True or False.")


def check_dropout(dropout: Any) -> None:
    """Refuses what is not a probability.

    Raises:
        UserError: it is not.
    """
    if not isinstance(dropout, Real) or isinstance(dropout, bool) or not 0 <= float(dropout) <= 1:
        raise UserError(f"RNN: dropout is {dropout!r}, but it is a probability between 0 and 1.")


def check_no_bias(cell: Cell) -> None:
    """Refuses a cell with an option for a bias, for a module without biases.

    Raises:
        UserError: the message names the option.
    """
    for field in dataclasses.fields(cell):
        value = getattr(cell, field.name)
        if "bias_of" in field.metadata and value != field.default:
            raise UserError(
                f"RNN: the option '{field.name}' is {value}, where a bias starts from, but with bias=False (model.bias=false) "
                "there are no biases. Leave out one of the two."
            )


def is_single(x: Any, input_size: int, batch_first: bool) -> bool:
    """Whether the input is one sequence (T, D) rather than a batch.

    Raises:
        UserError: it is neither.
    """
    if not isinstance(x, Tensor):
        raise UserError(
            f"RNN: the input is of type {type(x).__name__}, but it must be a tensor"
            + (" here; pad it and give `lengths`." if isinstance(x, PackedSequence) else " or a PackedSequence.")
        )
    check_dense("input", x)
    layout = "(B, T, D)" if batch_first else "(T, B, D)"
    if x.dim() not in (2, 3) or x.shape[-1] != input_size:
        raise UserError(f"RNN: the input has shape {tuple(x.shape)}, but it must be {layout} or (T, D) with D = {input_size}.")
    single = x.dim() == 2
    if x.shape[1 if batch_first and not single else 0] == 0:
        raise UserError(f"RNN: the input of shape {tuple(x.shape)} has no steps; give at least one.")
    return single


def state_of(
    name: str, cell: Cell, given: Tensor | Sequence[Tensor], shape: tuple[int, int, int], single: bool
) -> tuple[Tensor, ...]:
    """A state as a tuple of (layers, B, H); a single tensor is accepted as a state of one part.

    Raises:
        UserError: its parts or shapes do not fit.
    """
    parts = (given,) if isinstance(given, Tensor) else tuple(given)
    expected = (shape[0], shape[2]) if single else shape
    fits = len(parts) == len(cell.state)
    dense = True
    for part in parts:
        fits = fits and isinstance(part, Tensor) and part.shape == expected
        dense = dense and fits and part.layout is torch.strided
    if not fits:
        shown = [tuple(part.shape) if isinstance(part, Tensor) else type(part).__name__ for part in parts]
        raise UserError(f"RNN: the {name} has shapes {shown}, but it must be {', '.join(cell.state)} of shape {expected} each.")
    if not dense:
        for part_name, part in zip(cell.state, parts, strict=True):
            check_dense(f"{name} {part_name}", part)
    return tuple(part.unsqueeze(1) for part in parts) if single else parts


def lengths_of(given: Any, T: int, B: int, like: Tensor) -> Tensor | None:
    """Lengths on the device of the input.

    Raises:
        UserError: they are not B integers from 1 to T.
    """
    if given is None:
        return None
    lengths = torch.as_tensor(given)
    check_lengths(lengths, T, B)  # on their device: on a GPU this waits for the kernel
    # A copy: the user may change the tensor before the records are read.
    return lengths.clone() if lengths.device == like.device else lengths.to(like.device)


def times_of(
    cell: Cell, given: Any, single: bool, like: Tensor, lengths: Tensor | None, resets: Tensor | None, directions: int
) -> tuple[Tensor, ...]:
    """The time that passes before every step, (T, B) for each direction; nothing for a cell that does not read it.

    Args:
        cell: the equations.
        given: what the user gives, (B, T).
        single: whether the input is one sequence.
        like: the input (T, B, D), for number format and device.
        lengths: valid steps of each row (B,), or None.
        resets: (B, T), or None.
        directions: 1 or 2.

    Raises:
        UserError: the cell does not read it, or it is not one number for each row and step.
    """
    if given is None and not cell.timed:
        return ()
    T, B, _ = like.shape
    if given is None:
        given = like.new_ones((T,) if single else (B, T))
    if not cell.timed:
        raise UserError(
            f"RNN: `times` are given, but {type(cell).__name__} does not read them; leave them out, or give the time as an input. "
            'A cell that reads them declares it, as in sources = {"dt": "time"}.'
        )
    times = torch.as_tensor(given, device=like.device)
    times = times[None] if single else times
    if times.shape != (B, T) or times.dtype == torch.bool or times.is_complex():
        word, shape = str(times.dtype).removeprefix("torch."), tuple(times.shape)
        raise UserError(f"RNN: times must be numbers of shape (B, T) = {(B, T)}, but they are {word} of shape {shape}.")
    check_dense("times", times)
    times = times.mT.to(like.dtype)
    if lengths is not None:  # as for the input
        times = torch.where(torch.arange(T, device=like.device)[:, None] < lengths, times, 0)
    return (times,) if directions == 1 else (times, _to_the_step_behind(times, lengths, resets))


def _to_the_step_behind(times: Tensor, lengths: Tensor | None, resets: Tensor | None) -> Tensor:
    """The time that passes before every step for the direction that comes from the end, (T, B).

    The last step of a row, or of the part of it that ends where the row starts again, gets what the first one has, the time since
    the initial state.
    """
    T, B = times.shape
    steps = torch.arange(T, device=times.device)[:, None].expand(T, B)
    starts = torch.zeros_like(steps, dtype=torch.bool) if resets is None else resets.mT
    first = torch.where(starts, steps, 0).cummax(0).values  # of the part that a step belongs to
    ends = steps == (T if lengths is None else lengths) - 1
    ends = ends | torch.cat([starts[1:], starts.new_zeros(1, B)])
    return times.gather(0, torch.where(ends, first, (steps + 1).clamp(max=T - 1)))


def starts(
    cell: Cell,
    resets: Any,
    restart: Tensor | Sequence[Tensor] | None,
    shape: tuple[int, int, int],
    T: int,
    single: bool,
    like: Tensor,
) -> tuple[Tensor | None, tuple[Tensor, ...] | None]:
    """The steps at which rows start again, (B, T), and from which state.

    Raises:
        UserError: a shape or a number format does not fit, or there is a state without resets.
    """
    if resets is None:
        if restart is not None:
            raise UserError("RNN: restart is the state at resets, but none are given; give `resets`, or `hx` for the first step.")
        return None, None
    mask = torch.as_tensor(resets, device=like.device)
    mask = mask[None] if single else mask
    check_resets(mask, T, shape[1])
    return mask, None if restart is None else state_of("restart", cell, restart, shape, single)


def backwards(value: Tensor, lengths: Tensor | None) -> Tensor:
    """Reverses the valid steps of each row and leaves those after them in place; (..., T, B, F)."""
    if lengths is None:
        return value.flip(-3)
    steps = torch.arange(value.shape[-3], device=value.device)[:, None]
    index = torch.where(steps < lengths, lengths - 1 - steps, steps)
    return value.gather(-3, index[..., None].expand_as(value))
