"""SequenceModel: encoder, recurrent stack, head."""

import pytest
import torch
from cells.variants import Variant, each_kind, normal
from tolerances import EXACT, FLOAT64
from torch import Tensor, nn

from gatelab.errors import UserError
from gatelab.models import SequenceModel

B, T, D, H, OUT = 3, 6, 4, 5, 2
LENGTHS = torch.tensor([4, T, 1])

each_direction = pytest.mark.parametrize("bidirectional", [False, True], ids=["one-way", "two-way"])


def build(variant: Variant, bidirectional: bool = False, **settings: object) -> SequenceModel:
    rnn = variant.rnn(D, H, num_layers=2, bidirectional=bidirectional, batch_first=True)
    return SequenceModel(rnn, OUT, **settings).double()  # type: ignore[arg-type]


def close(left: Tensor, right: Tensor, tolerance: float = FLOAT64) -> None:
    torch.testing.assert_close(left, right, rtol=tolerance, atol=tolerance)


@each_kind
@each_direction
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["whole", "lengths"])
def test_readout_all_is_the_head_on_every_step(variant: Variant, bidirectional: bool, lengths: Tensor | None) -> None:
    model = build(variant, bidirectional, readout="all")
    x = normal(B, T, D)
    output = model(x, lengths)
    assert output.shape == (B, T, OUT)
    features, _ = model.rnn(x, lengths=lengths)
    assert features.shape == (B, T, model.rnn.output_size)
    close(output, features @ model.head.weight.T + model.head.bias)


@each_kind
@each_direction
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["whole", "lengths"])
def test_readout_last_is_where_each_direction_ends(variant: Variant, bidirectional: bool, lengths: Tensor | None) -> None:
    """The forward direction ends at the last valid step, the reverse direction at the first."""
    model = build(variant, bidirectional, readout="last")
    x = normal(B, T, D)
    features, _ = model.rnn(x, lengths=lengths)
    ends = (lengths if lengths is not None else torch.full((B,), T)) - 1
    width = model.rnn.cell.output_size(H)
    expected = features[torch.arange(B), ends, :width]
    if bidirectional:
        expected = torch.cat((expected, features[:, 0, width:]), -1)
    output = model(x, lengths)
    assert output.shape == (B, OUT)
    close(output, expected @ model.head.weight.T + model.head.bias)


@each_kind
@pytest.mark.parametrize("readout", ["all", "last"])
def test_padding_does_not_count(variant: Variant, readout: str) -> None:
    model = build(variant, True, readout=readout)
    x = normal(B, T, D)
    dirty = torch.where(torch.arange(T)[:, None] >= LENGTHS[:, None, None], 1e30, x)
    close(model(dirty, LENGTHS), model(x, LENGTHS), EXACT)


@each_kind
def test_tokens_are_one_hot(variant: Variant) -> None:
    tokens = torch.tensor([[0, 3, 1, 2, 3, 0], [1, 1, 2, 0, 0, 3], [2, 0, 3, 1, 2, 2]])
    encoded = torch.zeros(B, T, D, dtype=torch.float64)
    for row in range(B):
        for t in range(T):
            encoded[row, t, tokens[row, t]] = 1.0
    with_tokens = build(variant, vocabulary=D)
    plain = build(variant)
    plain.load_state_dict(with_tokens.state_dict())
    close(with_tokens(tokens, LENGTHS), plain(encoded, LENGTHS), EXACT)
    assert list(with_tokens.state_dict()) == [f"rnn.{key}" for key in with_tokens.rnn.state_dict()] + ["head.weight", "head.bias"]


def test_inputs_take_the_dtype_of_the_model() -> None:
    model = build(Variant("lstm", {}))
    for x in (normal(B, T, D), torch.ones(B, T, D, dtype=torch.int64)):
        close(model(x.float()), model(x.float().double()), EXACT)
        assert model.to(torch.bfloat16)(x).dtype == torch.bfloat16
        model.double()
    assert build(Variant("lstm", {}), vocabulary=D).float()(torch.zeros(B, T, dtype=torch.int64)).dtype == torch.float32


def test_gradients_reach_every_parameter() -> None:
    model = build(Variant("lstm", {}), True, readout="last")
    model(normal(B, T, D), LENGTHS).sum().backward()
    assert all(value.grad is not None and value.grad.any() for value in model.parameters())


def test_dropout_is_in_front_of_the_head_and_in_training() -> None:
    model = build(Variant("lstm", {}), dropout=1.0)
    x = normal(B, T, D)
    close(model.train()(x), model.head.bias.expand(B, T, OUT), EXACT)
    without = build(Variant("lstm", {}))
    without.load_state_dict(model.state_dict())
    close(model.eval()(x), without(x), EXACT)
    assert isinstance(model.dropout, nn.Dropout)


@pytest.mark.parametrize("vocabulary", [None, D], ids=["vectors", "tokens"])
def test_input_noise_is_on_the_vectors_in_training(vocabulary: int | None) -> None:
    rows = 4000
    x = torch.randint(0, D, (rows, T)) if vocabulary else normal(rows, T, D)
    model = build(Variant("lstm", {}), vocabulary=vocabulary, input_noise=0.25)
    plain = build(Variant("lstm", {}), vocabulary=vocabulary).encode(x)
    noise = model.train().encode(x) - plain
    count = noise.numel()
    assert float(noise.mean()) == pytest.approx(0, abs=4 * 0.25 / count**0.5)
    assert float(noise.std()) == pytest.approx(0.25, abs=4 * 0.25 / (2 * count) ** 0.5)
    assert float((noise.abs() < 0.25).double().mean()) == pytest.approx(0.6827, abs=4 * 0.47 / count**0.5)  # as Gaussian noise
    assert not torch.equal(model.encode(x) - plain, noise)
    close(model.eval().encode(x), plain, EXACT)


def test_without_input_noise_nothing_is_drawn() -> None:
    model = build(Variant("lstm", {})).train()
    before = torch.get_rng_state()
    model(normal(B, T, D))
    after = torch.get_rng_state()
    torch.set_rng_state(before)
    normal(B, T, D)
    assert torch.equal(torch.get_rng_state(), after)


def test_time_first_is_refused() -> None:
    with pytest.raises(UserError, match="the RNN must have batch_first=True"):
        SequenceModel(Variant("lstm", {}).rnn(D, H), OUT)


def test_unknown_readout_is_refused() -> None:
    with pytest.raises(UserError, match=r"readout 'lasst'\. Did you mean 'last'"):
        build(Variant("lstm", {}), readout="lasst")
