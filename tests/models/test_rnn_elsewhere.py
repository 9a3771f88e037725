"""RNN on another device than the CPU, tried without one: torch's `meta`, where tensors have no numbers but do have a device."""

import pytest
import torch
from cells.variants import Variant, each_kind
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from gatelab.models import RNN

T, B, D, H = 3, 2, 3, 4


@each_kind
def test_lengths_and_resets_from_the_cpu_fit_an_input_elsewhere(variant: Variant) -> None:
    with FakeTensorMode():  # which refuses tensors of two devices in one operator
        rnn = RNN(variant.cell(), D, H, bidirectional=True, backend="eager", device="meta")
        rnn.following = True
        lengths, resets = torch.empty(B, dtype=torch.int64), torch.empty(B, T, dtype=torch.bool)
        output, last, traces = rnn.trace(torch.empty(T, B, D, device="meta"), lengths=lengths, resets=resets)
        output.sum().backward()
        flows = [value for _, parts, _ in rnn.gradient_flow() for value in parts.values()]
    inside = [value for trace in traces.values() for parts in trace for value in parts.values()]
    gradients: list[Tensor | None] = [parameter.grad for parameter in rnn.parameters()]
    for value in (output, *last, *inside, *flows, *gradients):
        assert value is None or value.device.type == "meta"


def test_lengths_elsewhere_are_checked_in_type_and_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    rnn = RNN("lstm", D, H, backend="eager", device="meta")
    x = torch.empty(T, B, D, device="meta")
    for bad in (torch.ones(B, device="meta"), torch.ones(B + 1, dtype=torch.int64, device="meta")):
        with pytest.raises(ValueError, match="lengths must be 2 integers from 1 to 3"):
            rnn(x, lengths=bad)
    with pytest.raises(ValueError, match=r"lengths must be 2 integers from 1 to 3, but they are \[1, 4\]"):
        rnn(x, lengths=torch.tensor([1, 4]))
