"""The drop-in for `torch.nn.LSTM`, for any cell."""

import dataclasses
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx, nn
from torch.nn.utils.rnn import PackedSequence

from gatelab.cells import CELLS, Cell
from gatelab.errors import UserError
from gatelab.kernels import Flow, Record, Weights, check_backend, replay, reversed_resets
from gatelab.models import _arguments as arguments
from gatelab.models._disturbance import UNDISTURBED, Disturbance
from gatelab.models._layer import Layer
from gatelab.models._masks import draw_key, split
from gatelab.models._torch import copy_from, copy_to, packed_as, padded, without_torch_arguments


class LayerTrace(NamedTuple):
    """The gates and states of one layer and direction, in the time order of the input.

    Attributes:
        gates: activated gates by name.
        states: every part of the state after each step, by name.

    Shapes are (T, B, H), or (B, T, H) with `batch_first`. Steps after the end of a row are meaningless.
    """

    gates: dict[str, Tensor]
    states: dict[str, Tensor]


class RNN(nn.Module):
    """A stack of recurrent layers: `torch.nn.LSTM` with any cell of the registry.

    What differs from torch's modules, and what to write instead:

    - The state is always a tuple, `output, (h,) = rnn(x)`; `nn.GRU` and `nn.RNN` return a tensor, which is accepted as input.
    - It is not an `nn.RNNBase`: parameters are not called `weight_ih_l0`, so code that looks for such names finds nothing. Use
      `rnn.layers` and the names below, `from_torch`, `to_torch`.
    - Arguments that do not fit raise a UserError, which is a RuntimeError and a ValueError.
    - `lengths` does what packing does, without sorting; a PackedSequence is accepted and returned as well.
    - Not available: `proj_size`, `nonlinearity="relu"`, `torch.jit.script` (use `torch.export` or `torch.jit.trace`).

    Parameters of layer k lie under `layers.<k>` (`layers.<k>_reverse`): `W` (I*H, D), `R` (J*H, F*H), `b` (G*H), the cell's
    vectors (H,) and, for a cell with `memory`, `memory_*`. `gatelab explain <name>` prints them. There is one bias for
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
        recurrent_dropout: rate, in training, of the units that recurrent products read: one mask for a row, the same at all steps
            of a call; units that are left are scaled by 1 / (1 - rate) (Gal & Ghahramani 2016).
        zoneout: rate of the units whose output stays at a step what it was, drawn for every step; in evaluation the mean of both,
            weighted by the rate (Krueger et al. 2017). `zoneout_memory`: of all other parts of the state, which share a mask.
        residual: adds the input of a layer to its output, in every layer where both are equally wide.
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
        recurrent_dropout: float = 0.0,
        zoneout: float = 0.0,
        zoneout_memory: float = 0.0,
        residual: bool = False,
        **cell_options: Any,
    ) -> None:
        super().__init__()
        check_backend(backend)
        counts = {"input_size": input_size, "hidden_size": hidden_size, "num_layers": num_layers}
        arguments.check_counts(counts | {"checkpoint_every": checkpoint_every})
        arguments.check_switches({"bias": bias, "batch_first": batch_first, "bidirectional": bidirectional, "residual": residual})
        arguments.check_dropout(dropout)
        if dropout and num_layers == 1:
            warnings.warn(f"RNN: dropout={dropout} has no effect with num_layers=1; it acts between layers.", stacklevel=2)
        if cell_options:
            known = {field.name for field in dataclasses.fields(cell if isinstance(cell, Cell) else CELLS.get(cell))}
            cell_options = without_torch_arguments(cell, cell_options, known)
        if isinstance(cell, Cell) and cell_options:
            raise UserError(f"RNN: give {', '.join(cell_options)} to the Cell itself; options here need the name of a cell.")
        self.cell = cell if isinstance(cell, Cell) else CELLS.build(cell, **cell_options)
        self.cell_name = cell if isinstance(cell, str) else CELLS.name_of(type(cell))
        self.cell.check(self.cell_name)
        self.rates = Disturbance(recurrent_dropout, zoneout, zoneout_memory)
        self.rates.check(self.cell, self.cell_name)
        if not bias:
            arguments.check_no_bias(self.cell)
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.bias, self.batch_first, self.dropout, self.bidirectional = bias, batch_first, float(dropout), bidirectional
        self.backend, self.checkpoint_every, self.residual = backend, checkpoint_every, residual
        self.recording = self.following = False
        self.recorded: dict[str, tuple[Record, Tensor | None]] = {}
        self.followed: dict[str, tuple[Flow, Tensor | None]] = {}
        self.layers = nn.ModuleDict()
        directions = self._directions()
        for depth in range(num_layers):
            size = input_size if depth == 0 else self.output_size
            for suffix in directions:
                factory = {"device": device, "dtype": dtype}
                self.layers[f"{depth}{suffix}"] = Layer(
                    self.cell, size, hidden_size, bias, (depth, num_layers), factory, self.rates
                )

    def reset_parameters(self) -> None:
        """Draws all parameters again."""
        for layer in self.stack():
            layer.reset_parameters()

    def flatten_parameters(self) -> None:
        """Does nothing: no kernel needs the parameters in one piece. It exists because torch's modules have it."""

    @property
    def all_weights(self) -> list[list[Tensor]]:
        """The weights of every layer and direction, in the order in which its cell declares them."""
        return [[layer.read(name) for name in layer.shapes] for layer in self.stack()]

    def forward(
        self,
        input: Tensor | PackedSequence,  # noqa: A002 - as in torch
        hx: Tensor | Sequence[Tensor] | None = None,
        lengths: Tensor | Sequence[int] | None = None,
        resets: Tensor | None = None,
        restart: Tensor | Sequence[Tensor] | None = None,
        times: Tensor | Sequence[Sequence[float]] | None = None,
    ) -> tuple[Any, tuple[Tensor, ...]]:
        """Runs the stack over a batch of sequences.

        Args:
            input: (T, B, D), or (B, T, D) with `batch_first`, or one sequence (T, D), or a PackedSequence.
            hx: initial state, a tuple in the order of `cell.state`, (L * directions, B, H) each, layer by layer; zeros when
                None. A single tensor is accepted for a cell with one part.
            lengths: valid steps of each row (B,), integers from 1 to T. A finished row keeps its state and outputs zeros; the
                reverse direction starts at its last valid step.
            resets: steps at which a row starts again, booleans (B, T) whatever the layout of the input, (T,) for one sequence:
                a new episode, the next of several packed documents. Such a step reads `restart` in place of the state before it,
                and no gradient passes it. The reverse direction starts again at the step before, across the same boundary.
            restart: the state there, as `hx`; zeros when None.
            times: for a cell with `sources = {"dt": "time"}`: the time since the step before, for the first step since the initial
                state, numbers (B, T) as `resets`; 1 when None. The reverse direction reads the time to the step behind.

        Returns:
            The outputs of the last layer, `output_size` wide, in the layout of the input (packed if it is), and the last state.

        Raises:
            UserError: a shape, a number format, a device or a length does not fit.
        """
        if not isinstance(input, Tensor):
            if isinstance(input, PackedSequence):
                return self._packed(input, hx, lengths, resets, restart, times)
            if isinstance(input, fx.Proxy):  # symbolic tracing does not look inside, as for torch's own modules
                others = {"hx": hx, "lengths": lengths, "resets": resets, "restart": restart, "times": times}
                path = input.tracer.path_of_module(self)  # type: ignore[attr-defined]
                return input.tracer.create_proxy("call_module", path, (input,), others)  # type: ignore[return-value]
        output, last, records, ends = self._run(input, hx, lengths, resets, restart, times, self.recording)
        if self.recording:
            self.recorded = {
                name: (Record(*({key: value.detach() for key, value in part.items()} for part in record)), ends)
                for name, (record, _) in records.items()
            }
        return output, last

    def trace(
        self,
        input: Tensor,  # noqa: A002
        hx: Tensor | Sequence[Tensor] | None = None,
        lengths: Tensor | Sequence[int] | None = None,
        resets: Tensor | None = None,
        restart: Tensor | Sequence[Tensor] | None = None,
        times: Tensor | Sequence[Sequence[float]] | None = None,
    ) -> tuple[Tensor, tuple[Tensor, ...], dict[str, LayerTrace]]:
        """Like `forward`, but also returns all gates and states of every layer, differentiable.

        Returns:
            Output and last state as from `forward`, and a LayerTrace for every layer: "0", "0_reverse", "1", ...
        """
        output, last, records, ends = self._run(input, hx, lengths, resets, restart, times, True)
        traces = {}
        for name, (record, weights) in records.items():
            states, gates = replay(self.cell, weights, record)
            turned = name.endswith("_reverse")
            ordered = (
                {
                    key: self._restore(arguments.backwards(value[0], ends) if turned else value[0], input.dim() == 2)
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
            yield name, {key: value[0] for key, value in flow.of(self.cell).items()}, lengths

    @classmethod
    def from_torch(cls, module: nn.RNNBase, backend: str = "auto") -> "RNN":
        """The same network with the same weights.

        Args:
            module: torch.nn.LSTM, GRU or RNN (tanh); its two biases are added where we have one.

        Raises:
            UserError: no cell has the module's equations.
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
        for name, layer in own.layers.items():
            copy_from(module, f"l{name}", own.cell, layer)  # type: ignore[arg-type]
        return own.train(module.training)

    def to_torch(self) -> nn.RNNBase:
        """The torch module with the same equations and weights: where torch has two biases that are added, the second is 0.

        Raises:
            UserError: torch has no module for these equations.
        """
        peer = self.cell.peer
        if peer is None:
            known = ", ".join(name for name in CELLS.names() if CELLS.get(name).peer is not None)
            raise UserError(f"to_torch: torch has no module with the equations of {self.cell_name}. It has one for {known}.")
        if self.residual or self.rates != UNDISTURBED:
            raise UserError("to_torch: torch's modules have neither zoneout nor recurrent dropout nor residual layers.")
        like = self.stack()[0].read("W")
        with warnings.catch_warnings():  # a warning about dropout with one layer, which was given when this module was made
            warnings.simplefilter("ignore")
            other: nn.RNNBase = peer(  # type: ignore[call-arg]
                self.input_size,
                self.hidden_size,
                num_layers=self.num_layers,
                bias=self.bias,
                batch_first=self.batch_first,
                dropout=self.dropout,
                bidirectional=self.bidirectional,
                device=like.device,
                dtype=like.dtype,
            )
        for name, layer in self.layers.items():
            copy_to(other, f"l{name}", self.cell, layer)  # type: ignore[arg-type]
        return other.train(self.training)

    def extra_repr(self) -> str:
        text = f"{self.cell_name}, {self.input_size}, {self.hidden_size}, num_layers={self.num_layers}"
        rates = "".join(f", {name}={rate}" for name, rate in self.rates._asdict().items() if rate)
        text += f", bidirectional={self.bidirectional}, backend={self.backend}, {self.cell}"
        return text + rates + (", residual=True" if self.residual else "")

    @property
    def num_directions(self) -> int:
        """2 if it is bidirectional, else 1."""
        return len(self._directions())

    @property
    def output_size(self) -> int:
        """Features of the output: H for each direction and each part of the state that the cell puts out."""
        return self.cell.output_size(self.hidden_size) * self.num_directions

    def _directions(self) -> tuple[str, ...]:
        return ("", "_reverse") if self.bidirectional else ("",)

    def stack(self) -> list[Layer]:
        """Layers and directions in the order of the state."""
        return [*self.layers.values()]  # type: ignore[list-item]

    def _packed(
        self,
        packed: PackedSequence,
        hx: Tensor | Sequence[Tensor] | None,
        lengths: Tensor | Sequence[int] | None,
        resets: Tensor | None,
        restart: Tensor | Sequence[Tensor] | None,
        times: Tensor | Sequence[Sequence[float]] | None,
    ) -> tuple[PackedSequence, tuple[Tensor, ...]]:
        if lengths is not None:
            raise UserError("RNN: a PackedSequence knows its lengths; leave out `lengths`.")
        values, ends = padded(packed, self.batch_first)
        output, last = self.forward(values, hx, ends, resets, restart, times)
        return packed_as(output, ends, packed, self.batch_first), last

    def _run(
        self,
        x: Tensor,
        state: Tensor | Sequence[Tensor] | None,
        lengths: Tensor | Sequence[int] | None,
        resets: Tensor | None,
        restart: Tensor | Sequence[Tensor] | None,
        times: Tensor | Sequence[Sequence[float]] | None,
        record: bool,
    ) -> tuple[Tensor, tuple[Tensor, ...], dict[str, tuple[Record, Weights]], Tensor | None]:
        single = arguments.is_single(x, self.input_size, self.batch_first)
        inner = x.unsqueeze(1) if single else x.transpose(0, 1) if self.batch_first else x
        T, B, _ = inner.shape
        layers = self._modules["layers"]._modules  # type: ignore[union-attr]  # past __getattr__, as a call of one step is short
        shape = (len(layers), B, self.hidden_size)
        s0 = None if state is None else arguments.state_of("state", self.cell, state, shape, single)
        resets, again = arguments.starts(self.cell, resets, restart, shape, T, single, inner)
        ends = arguments.lengths_of(lengths, T, B, inner)
        if ends is not None:  # values after the end of a row may be anything, but 0 * NaN would reach the weight gradients
            inner = torch.where((torch.arange(T, device=inner.device)[:, None] < ends)[..., None], inner, 0)
        lasts: list[tuple[Tensor, ...]] = []
        records: dict[str, tuple[Record, Weights]] = {}
        if self.followed:  # which goes through Module.__setattr__
            self.followed = {}
        directions = self._directions()
        passed = arguments.times_of(self.cell, times, single, inner, ends, resets, len(directions))
        key = draw_key() if self.training and self.rates.acts(True) else None  # without masks nothing is drawn
        alone = len(layers) == 1  # then the state of the stack is that of the layer
        for depth in range(self.num_layers):
            outputs = []
            for suffix in directions:
                name, at = f"{depth}{suffix}", len(lasts)
                given = torch.cat([inner, passed[len(outputs)][..., None]], -1) if passed else inner
                given = arguments.backwards(given, ends) if suffix else given
                start, fresh = (part if alone or part is None else tuple(p[at : at + 1] for p in part) for part in (s0, again))
                turned = reversed_resets(resets, ends) if suffix and resets is not None else resets
                flow = Flow() if self.following else None
                every = self.checkpoint_every
                layer: Any = layers[name]
                own = None if key is None else split(key, depth, len(outputs))
                result, weights = layer(given[None], start, self.backend, ends, record, every, flow, turned, fresh, own)
                if flow is not None:
                    self.followed[name] = (flow, ends)
                output = result.output.squeeze(0)
                outputs.append(arguments.backwards(output, ends) if suffix else output)
                lasts.append(result.state)
                if result.record is not None:
                    records[name] = (result.record, weights)
            joined = outputs[0] if len(outputs) == 1 else torch.cat(outputs, -1)
            inner = joined + inner if self.residual and joined.shape == inner.shape else joined
            if depth < self.num_layers - 1:
                inner = nn.functional.dropout(inner, self.dropout, self.training)
        last = lasts[0] if alone else tuple(torch.cat(parts) for parts in zip(*lasts, strict=True))
        if single:
            last = tuple(part.squeeze(1) for part in last)
        return self._restore(inner, single), last, records, ends

    def _restore(self, value: Tensor, single: bool) -> Tensor:
        """From (T, B, ...) to the layout of the input."""
        return value.squeeze(1) if single else value.transpose(0, 1) if self.batch_first else value
