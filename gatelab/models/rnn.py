"""The drop-in for `torch.nn.LSTM`, for any cell."""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from gatelab.cells import CELLS, Cell
from gatelab.kernels import Flow, Record, Weights, check_backend, replay, scan
from gatelab.registry import UserError


class LayerTrace(NamedTuple):
    """Everything inside one layer and direction, in the time order of the input.

    Attributes:
        gates: activated gates by name.
        states: every part of the state after each step, by name.

    Shapes are (T, B, H), or (B, T, H) with `batch_first`. Steps behind the end of a row are not meaningful.
    """

    gates: dict[str, Tensor]
    states: dict[str, Tensor]


class _Layer(nn.Module):
    """The parameters of one layer and direction."""

    def __init__(self, cell: Cell, input_size: int, hidden_size: int, bias: bool, factory: dict[str, Any]) -> None:
        super().__init__()
        self.cell, self.hidden_size = cell, hidden_size
        for name, shape in cell.shapes(input_size, hidden_size, bias).items():
            self.register_parameter(name, nn.Parameter(torch.empty(shape, **factory)))
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Weights and vectors from U(-1/sqrt(H), 1/sqrt(H)), as in torch.nn.LSTM; biases from the cell's `initial_bias`."""
        bound = 1 / math.sqrt(self.hidden_size)
        for name, parameter in self.named_parameters():
            if name == "b":
                values = [self.cell.initial_bias.get(gate, 0.0) for gate in self.cell.gates]
                parameter.copy_(torch.tensor(values).repeat_interleave(self.hidden_size))
            else:
                parameter.uniform_(-bound, bound)

    def weights(self) -> Weights:
        """The parameters as one replica."""
        own = {name: parameter[None] for name, parameter in self.named_parameters()}
        return Weights(
            own.get("W"),
            own.get("R"),
            own.get("b"),
            {name: own[name] for name in self.cell.vectors},
            {name.removeprefix("memory_"): value for name, value in own.items() if name.startswith("memory_")},
        )


class RNN(nn.Module):
    """A stack of recurrent layers: `torch.nn.LSTM` with any cell of the registry.

    Parameters of layer k lie under `layers.<k>` (`layers.<k>_reverse`): `W` (I*H, D), `R` (J*H, F*H), `b` (G*H), the cell's
    vectors (H,) and, for a cell with `memory`, `memory_*`. `gatelab explain cell=<name>` prints them. There is one bias for
    each pre-activation, where torch has two that are added.

    Args:
        cell: name in the registry, or a Cell.
        input_size: D.
        hidden_size: H.
        num_layers: L.
        bias: whether pre-activations have a bias.
        batch_first: input and output are (B, T, ...) instead of (T, B, ...). States are not affected, as in torch.
        dropout: probability, on the output of every layer but the last, in training.
        bidirectional: adds a second direction; outputs are concatenated.
        backend: how the time loop runs: "auto" or a name in `gatelab.kernels.BACKENDS`.
        checkpoint_every: steps between two states that are kept for the backward pass, which computes the rest again, with the same
            gradients to the last bit; rounded up to what the backend takes at once. None: everything is kept if it fits in an
            eighth of the free memory and in 1 GiB, else about sqrt(T). The eager loop keeps everything, and
            every backend the tape of a cell with memory.
        device, dtype: of the parameters, as in torch.
        cell_options: hyper-parameters of the cell, such as `forget_bias=2.0`.

    Raises:
        UserError: unknown cell, option or backend, or a value that is not accepted.
    """

    def __init__(
        self,
        cell: str | Cell,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        backend: str = "auto",
        checkpoint_every: int | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        **cell_options: Any,
    ) -> None:
        super().__init__()
        check_backend(backend)
        counts = {"input_size": input_size, "hidden_size": hidden_size, "num_layers": num_layers}
        for name, value in (counts | {"checkpoint_every": checkpoint_every}).items():
            if value is not None and value < 1:
                raise UserError(f"RNN: {name} is {value}, but it must be at least 1.")
        if not 0 <= dropout <= 1:
            raise UserError(f"RNN: dropout is {dropout}, but it is a probability between 0 and 1.")
        if isinstance(cell, Cell) and cell_options:
            raise UserError(f"RNN: give {', '.join(cell_options)} to the Cell itself; options here go with the name of a cell.")
        self.cell = cell if isinstance(cell, Cell) else CELLS.build(cell, **cell_options)
        self.cell_name = cell if isinstance(cell, str) else CELLS.name_of(type(cell))
        self.cell.check(self.cell_name)
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.bias, self.batch_first, self.dropout, self.bidirectional = bias, batch_first, float(dropout), bidirectional
        self.backend, self.checkpoint_every = backend, checkpoint_every
        self.recording = self.following = False
        self.recorded: dict[str, tuple[Record, Tensor | None]] = {}
        self.followed: dict[str, tuple[Flow, Tensor | None]] = {}
        self.layers = nn.ModuleDict()
        directions = self._directions()
        for depth in range(num_layers):
            size = input_size if depth == 0 else hidden_size * len(directions)
            for suffix in directions:
                factory = {"device": device, "dtype": dtype}
                self.layers[f"{depth}{suffix}"] = _Layer(self.cell, size, hidden_size, bias, factory)

    def reset_parameters(self) -> None:
        """Draws all parameters anew."""
        for layer in self.layers.values():
            layer.reset_parameters()  # type: ignore[operator]

    def forward(
        self, x: Tensor, state: tuple[Tensor, ...] | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Runs the stack over a batch of sequences.

        Args:
            x: inputs (T, B, D), or (B, T, D) with `batch_first`, or one sequence (T, D).
            state: initial state, a tuple in the order of `cell.state`, (L * directions, B, H) each, layer by layer; zeros when
                None. A single tensor is accepted for a cell with one part.
            lengths: valid steps of each row (B,), integers from 1 to T. A finished row keeps its state and puts out zeros; the
                reverse direction starts at its last valid step.

        Returns:
            The outputs of the last layer, in the layout of the input with directions * H features, and the last state.

        Raises:
            UserError: a shape or a length does not fit.
        """
        output, last, records, lengths = self._run(x, state, lengths, self.recording)
        if self.recording:
            self.recorded = {
                name: (Record(*({key: value.detach() for key, value in part.items()} for part in record)), lengths)
                for name, record in records.items()
            }
        return output, last

    def trace(
        self, x: Tensor, state: tuple[Tensor, ...] | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, tuple[Tensor, ...], dict[str, LayerTrace]]:
        """As `forward`, and everything inside: all gates and states of every layer, differentiable.

        Returns:
            Output and last state as from `forward`, and a LayerTrace for every layer: "0", "0_reverse", "1", ...
        """
        output, last, records, lengths = self._run(x, state, lengths, True)
        traces = {}
        for name, record in records.items():
            states, gates = replay(self.cell, self.layers[name].weights(), record)  # type: ignore[operator]
            ordered = (
                {
                    key: self._restore(_reversed(value, lengths) if name.endswith("_reverse") else value, x.dim() == 2)
                    for key, value in part.items()
                }
                for part in (gates, states)
            )
            traces[name] = LayerTrace(*ordered)
        return output, last, traces

    def replayed(self) -> Iterator[tuple[str, LayerTrace, Tensor | None]]:
        """The last `forward` with `recording` on: layer, its gates and states in scan order (T, B, H), lengths."""
        for name, (record, lengths) in self.recorded.items():
            with torch.no_grad():
                states, gates = replay(self.cell, self.layers[name].weights(), record)  # type: ignore[operator]
            yield name, LayerTrace(*({key: value[0] for key, value in part.items()} for part in (gates, states))), lengths

    def gradient_flow(self) -> Iterator[tuple[str, dict[str, Tensor], Tensor | None]]:
        """dL/ds(t) of the last `forward` with `following` on, once its backward pass has run.

        Yields layer, the derivative of the loss by every part of the state after each step, by name in scan order (T, B, H),
        through the output and through all later steps, and lengths; 0 behind the end of a row.
        """
        for name, (flow, lengths) in self.followed.items():
            yield name, {key: value[0] for key, value in flow.cotangents.items()}, lengths

    @classmethod
    def from_torch(cls, module: nn.RNNBase, backend: str = "auto") -> "RNN":
        """The same network with the same weights.

        Args:
            module: torch.nn.LSTM, GRU or RNN (tanh); its two biases are added where we have one.

        Raises:
            UserError: no cell computes the module's equations.
        """
        names = [name for name in CELLS.names() if CELLS.get(name).peer is type(module)]
        plain = getattr(module, "nonlinearity", "tanh") == "tanh" and not getattr(module, "proj_size", 0)
        if not names or not plain:
            raise UserError(
                f"from_torch: there is no cell for {module}. Accepted: torch.nn.LSTM, GRU and RNN (tanh), without proj_size."
            )
        own = cls(
            names[0],
            module.input_size,
            module.hidden_size,
            module.num_layers,
            module.bias,
            module.batch_first,
            module.dropout,
            module.bidirectional,
            backend,
            device=module.weight_ih_l0.device,  # type: ignore[arg-type]
            dtype=module.weight_ih_l0.dtype,  # type: ignore[arg-type]
        )
        with torch.no_grad():
            for name, layer in own.layers.items():
                _copy_torch(module, f"l{name}", own.cell, layer)
        return own.train(module.training)

    def extra_repr(self) -> str:
        text = f"{self.cell_name}, {self.input_size}, {self.hidden_size}, num_layers={self.num_layers}"
        return text + f", bidirectional={self.bidirectional}, backend={self.backend}, {self.cell}"

    def _directions(self) -> tuple[str, ...]:
        return ("", "_reverse") if self.bidirectional else ("",)

    def _run(
        self, x: Tensor, state: tuple[Tensor, ...] | None, lengths: Tensor | None, record: bool
    ) -> tuple[Tensor, tuple[Tensor, ...], dict[str, Record], Tensor | None]:
        single = self._check_input(x)
        inner = x.unsqueeze(1) if single else x.transpose(0, 1) if self.batch_first else x
        T, B = inner.shape[:2]
        s0 = self._initial_state(state, B, single, inner)
        lengths = self._check_lengths(lengths, T, B, inner.device)
        if lengths is not None:  # what lies behind the end may be anything, but 0 * NaN would reach the weight gradients
            inner = torch.where((torch.arange(T, device=inner.device)[:, None] < lengths)[..., None], inner, 0)
        lasts: list[tuple[Tensor, ...]] = []
        records: dict[str, Record] = {}
        self.followed = {}
        for depth in range(self.num_layers):
            outputs = []
            for suffix in self._directions():
                name = f"{depth}{suffix}"
                given = _reversed(inner, lengths) if suffix else inner
                start = tuple(part[len(lasts)][None] for part in s0)
                weights = self.layers[name].weights()  # type: ignore[operator]
                flow = Flow() if self.following else None
                every = self.checkpoint_every
                result = scan(self.cell, weights, given[None], start, self.backend, lengths, record, every, flow)
                if flow is not None:
                    self.followed[name] = (flow, lengths)
                outputs.append(_reversed(result.output.squeeze(0), lengths) if suffix else result.output.squeeze(0))
                lasts.append(tuple(part.squeeze(0) for part in result.state))
                if result.record is not None:
                    records[name] = result.record
            inner = outputs[0] if len(outputs) == 1 else torch.cat(outputs, -1)
            if depth < self.num_layers - 1:
                inner = nn.functional.dropout(inner, self.dropout, self.training)
        last = tuple(torch.stack(parts) for parts in zip(*lasts, strict=True))
        if single:
            last = tuple(part.squeeze(1) for part in last)
        return self._restore(inner[None], single), last, records, lengths

    def _restore(self, value: Tensor, single: bool) -> Tensor:
        """(1, T, B, ...) in the layout of the input."""
        value = value.squeeze(0)  # whose derivative is a view, where that of an index fills and copies
        return value.squeeze(1) if single else value.transpose(0, 1) if self.batch_first else value

    def _check_input(self, x: Tensor) -> bool:
        """Whether x is a single sequence."""
        if not isinstance(x, Tensor):
            raise UserError(f"RNN: the input is a {type(x).__name__}, but it must be a tensor; give `lengths` instead of packing.")
        layout = "(B, T, D)" if self.batch_first else "(T, B, D)"
        if x.dim() not in (2, 3) or x.shape[-1] != self.input_size or 0 in x.shape:
            raise UserError(
                f"RNN: the input has shape {tuple(x.shape)}, but it must be {layout} or (T, D) with D = {self.input_size}."
            )
        return x.dim() == 2

    def _initial_state(self, state: tuple[Tensor, ...] | None, B: int, single: bool, like: Tensor) -> tuple[Tensor, ...]:
        shape = (self.num_layers * len(self._directions()), B, self.hidden_size)
        if state is None:
            dtype = next(self.parameters()).dtype
            return (torch.zeros(shape, device=like.device, dtype=dtype),) * len(self.cell.state)
        parts = (state,) if isinstance(state, Tensor) else tuple(state)
        expected = (shape[0], self.hidden_size) if single else shape
        if len(parts) != len(self.cell.state) or any(part.shape != expected for part in parts):
            given = [tuple(part.shape) for part in parts]
            raise UserError(
                f"RNN: the state has shapes {given}, but it must be {', '.join(self.cell.state)} of shape {expected} each."
            )
        return tuple(part.unsqueeze(1) for part in parts) if single else parts

    def _check_lengths(self, lengths: Tensor | None, T: int, B: int, device: torch.device) -> Tensor | None:
        if lengths is None:
            return None
        lengths = torch.as_tensor(lengths, device=device)
        whole = not lengths.is_floating_point() and lengths.dtype != torch.bool
        if lengths.shape != (B,) or not whole or int(lengths.min()) < 1 or int(lengths.max()) > T:
            raise UserError(f"RNN: lengths must be {B} integers from 1 to {T}, but they are {lengths.tolist()}.")
        return lengths


def _reversed(value: Tensor, lengths: Tensor | None) -> Tensor:
    """The valid steps of each row in reverse order, what lies behind them in place; (..., T, B, F)."""
    if lengths is None:
        return value.flip(-3)
    steps = torch.arange(value.shape[-3], device=value.device)[:, None]
    index = torch.where(steps < lengths, lengths - 1 - steps, steps)
    return value.gather(-3, index[..., None].expand_as(value))


def _copy_torch(module: nn.RNNBase, suffix: str, cell: Cell, layer: nn.Module) -> None:
    """Copies one layer: torch's blocks are in our order, its input and hidden parts apart."""
    H = module.hidden_size
    own = dict(layer.named_parameters())
    own["W"].copy_(getattr(module, f"weight_ih_{suffix}"))
    own["R"].copy_(getattr(module, f"weight_hh_{suffix}"))
    if not module.bias:
        return
    own["b"].zero_()
    for kind, gates in (("ih", cell.input_gates), ("hh", cell.recurrent_gates)):
        for gate, block in zip(gates, getattr(module, f"bias_{kind}_{suffix}").split(H), strict=True):
            start = list(cell.gates).index(gate) * H
            own["b"][start : start + H] += block
