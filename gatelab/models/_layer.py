"""One layer and direction: its weights by their declared names, and its time loop."""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from gatelab.cells import Cell, Place, operands, without_weights
from gatelab.errors import UserError, first_line
from gatelab.kernels import Flow, Scan, Weights, check_dense, scan
from gatelab.models._disturbance import UNDISTURBED, Disturbance, Disturbing


class Layer(nn.Module):
    """The weights of one layer and direction.

    They are read as attributes by the names that `cell.shapes` declares, so that whatever has such a name is used: a
    parameter, a parametrisation, a pruned or normalised weight that a hook computes, a tensor that was computed elsewhere.
    """

    def __init__(
        self,
        cell: Cell,
        input_size: int,
        hidden_size: int,
        bias: bool,
        place: tuple[int, int],
        factory: dict[str, Any],
        rates: Disturbance = UNDISTURBED,
    ) -> None:
        """Args as of `RNN`; `place` is the number of the layer, counted from 0, and the number of layers."""
        super().__init__()
        self.cell, self.input_size, self.hidden_size, self._place = cell, input_size, hidden_size, place
        self._rates, self._masked = rates, (rates.made_of(cell, False), rates.made_of(cell, True))
        self.shapes = cell.shapes(input_size, hidden_size, bias)
        self._computes = bool(cell.constraint or cell.scalars or cell.delayed or cell.head_count > 1 or without_weights(cell))
        for name, shape in self.shapes.items():
            self.register_parameter(name, nn.Parameter(torch.empty(shape, **factory)))
        for name in cell.fixed:  # a checkpoint does not hold them: they follow from the cell
            self.register_buffer(name, torch.empty((hidden_size,), **factory), persistent=False)
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draws all parameters; `gatelab.cells._initial` says what each starts from."""
        initial, bound = self.cell.initial, 1 / math.sqrt(self.hidden_size)
        known: dict[str, Tensor] = {}
        for name in self.shapes:
            drawn = torch.empty_like(self.read(name), memory_format=torch.contiguous_format)
            if name == "b":
                values = [self.cell.initial_bias.get(gate, 0.0) for gate in self.cell.rows("b")]
                drawn.copy_(torch.tensor(values).repeat_interleave(self.hidden_size))
            elif name not in initial:
                drawn.uniform_(-bound, bound)
            place = Place(drawn.shape[1] if drawn.dim() == 2 else self.hidden_size, *self._place, known)
            known[name] = drawn
            gates = self.cell.rows(name) or ("",)
            for gate, block in zip(gates, drawn.chunk(len(gates)), strict=True):
                start = initial.get(f"{name}.{gate}", initial.get(name))
                if start is not None:
                    precise = torch.promote_types(block.dtype, torch.float32)  # a logit of 8 bits may be infinite
                    value = start.draw(torch.empty_like(block, dtype=precise), place)
                    block.copy_(value + block if name == "b" else value)
            self.write(name, drawn)
        for name, start in self.cell.fixed.items():
            value = self.read(name)
            value.copy_(start.draw(value, Place(self.hidden_size, *self._place)))

    def read(self, name: str) -> Tensor:
        """The weight of that name, however it is computed.

        Raises:
            UserError: it does not exist.
        """
        value = self._parameters.get(name)  # the usual case, which getattr looks up last
        if value is None:
            value = getattr(self, name, None)
        if not isinstance(value, Tensor):
            shape = self.shapes.get(name, (self.hidden_size,))
            state = "missing" if value is None else f"of type {type(value).__name__}"
            raise UserError(f"RNN: the weight '{name}' of a layer is {state}; assign a tensor of shape {shape} to it.")
        return value

    @torch.no_grad()
    def write(self, name: str, value: Tensor) -> None:
        """Gives a weight new values: a parameter, or a parametrisation that can be inverted.

        Raises:
            UserError: it is computed in a way that this module does not know.
        """
        if name in self._parameters:
            self.read(name).copy_(value)
            return
        reason = "it is computed, by a hook or from another tensor"
        if parametrize.is_parametrized(self, name):
            try:
                setattr(self, name, value)
                return
            except (NotImplementedError, RuntimeError, ValueError) as error:
                reason = f"its parametrisation cannot take a value ({first_line(error)})"
        raise UserError(f"RNN: the weight '{name}' cannot be set: {reason}. Set it first, then change how it is computed.")

    def weights(self) -> Weights:
        """What the time loop computes with, as one replica; `gatelab.cells.operands` makes it from the parameters.

        Raises:
            UserError: a parameter from which something else is computed has another shape than declared, or another number format
                or device than the others.
        """
        own = {name: self.read(name) for name in self.shapes}
        if self._computes:
            for name, value in own.items():
                if value.shape != self.shapes[name]:
                    raise UserError(f"The weight {name} has shape {tuple(value.shape)}, but it must be {tuple(self.shapes[name])}.")
                check_dense(f"weight {name}", value)
            _check_kinds(own)
            own = operands(self.cell, own, self.input_size, self.hidden_size)
        own |= {name: self.read(name) for name in self.cell.fixed}
        return Weights.of(self.cell, {name: value[None] for name, value in own.items()})

    def forward(
        self,
        x: Tensor,
        s0: tuple[Tensor, ...] | None,
        backend: str,
        lengths: Tensor | None,
        record: bool,
        every: int | None,
        flow: Flow | None,
        resets: Tensor | None,
        restart: tuple[Tensor, ...] | None,
        key: Tensor | None = None,
    ) -> tuple[Scan, Weights]:
        """Runs the time loop over (1, T, B, D); also returns the weights that it used.

        The arguments are those of `gatelab.kernels.scan`; the state starts from zeros if s0 is None. `key` is what random
        masks are drawn from, None in evaluation.
        """
        weights = self.weights()
        if s0 is None:
            like = next(iter(weights.named().values()), x)
            s0 = (torch.zeros((1, x.shape[2], self.hidden_size), dtype=like.dtype, device=x.device),) * len(self.cell.state)
        masked = self._masked[key is not None]
        if masked is self.cell:
            return scan(self.cell, weights, x, s0, backend, lengths, record, every, flow, resets, restart), weights
        N, T, B, _ = x.shape
        masks = Disturbing(self.cell, masked, self._rates, key, (N, T, B, self.hidden_size), s0[0])
        if resets is not None:
            restart = masks.state(restart or (torch.zeros_like(s0[0]),) * len(s0))
        own, start = masks.weights(weights), masks.state(s0)
        made = scan(masks.cell, own, x, start, backend, lengths, record, every, flow, resets, restart)
        return masks.undisturbed(made, flow), weights


def _check_kinds(weights: dict[str, Tensor]) -> None:
    """Torch would convert parameters of which one tensor is made, without a word."""
    (first, like), *others = weights.items()
    for name, value in others:
        for what, one, other in (("number format", value.dtype, like.dtype), ("device", value.device, like.device)):
            if one != other:
                kinds = [str(kind).removeprefix("torch.") for kind in (one, other)]
                raise UserError(f"The weight {name} has the {what} {kinds[0]}, but the weight {first} has {kinds[1]}; convert one.")
