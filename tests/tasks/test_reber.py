"""Reber's grammar: an independent automaton reads what is generated."""

import math
import re

import numpy as np
import pytest
import torch

from gatelab.tasks import TASKS, _reber
from gatelab.tasks._reber import SYMBOLS

WAYS = {
    (1, "T"): 2,
    (1, "P"): 3,
    (2, "S"): 2,
    (2, "X"): 4,
    (3, "T"): 3,
    (3, "V"): 5,
    (4, "X"): 3,
    (4, "S"): 6,
    (5, "P"): 4,
    (5, "V"): 6,
}


def text(symbols: torch.Tensor, length: int) -> str:
    return "".join(SYMBOLS[number] for number in symbols[:length].tolist())


def is_inner(string: str) -> bool:
    place = 1
    for symbol in string[1:-1]:
        place = WAYS.get((place, symbol), 0)
    return string[0] == "B" and string[-1] == "E" and place == 6


def is_embedded(string: str) -> bool:
    return string[0] == "B" and string[-1] == "E" and string[1] == string[-2] in "TP" and is_inner(string[2:-2])


def test_strings_are_of_the_grammar() -> None:
    plain, embedded = TASKS.build("reber"), TASKS.build("embedded_reber")
    seen = set()
    for task, accepted in ((plain, is_inner), (embedded, is_embedded)):
        batch = task.batch("train", 0, np.arange(500))
        assert batch.lengths is not None
        for x, y, length in zip(batch.x, batch.y, batch.lengths.tolist(), strict=True):
            string = text(x, length) + SYMBOLS[y[length - 1]]
            assert accepted(string), string
            assert text(y, length) == string[1:]
            seen.add(string)
    assert len(seen) > 200


def test_known_strings() -> None:
    first = np.zeros((1, 1 + _reber.CHOICES), dtype=np.int64)
    first[0, :6] = (1, 0, 1, 1, 1, 1)  # P | T, X, S out of 4 is choice 1
    symbols, lengths = _reber.embedded(first)
    assert text(torch.from_numpy(symbols[0]), lengths[0]) == "BPBTXSEPE"
    endless, lengths = _reber.embedded(np.zeros_like(first))  # S for ever, until the choices are used up
    assert is_embedded(text(torch.from_numpy(endless[0]), lengths[0]))
    assert lengths[0] == _reber.LONGEST


def test_lengths() -> None:
    """E[choices] from the equations of the automaton by hand: E1 = 1 + (E2 + E3)/2, ..., which gives 6."""
    assert _reber.choices() == pytest.approx(6)
    words = np.random.default_rng(0).integers(0, 2**63, 20000, dtype=np.uint64) * 2 + 1
    for bits, strings, mean, least in ((slice(1, None), _reber.inner, 8, 5), (slice(None), _reber.embedded, 12, 9)):
        lengths = strings(_reber.bits(words)[:, bits])[1]
        assert lengths.mean() == pytest.approx(mean, abs=4 * lengths.std() / math.sqrt(len(lengths)))
        assert lengths.min() == least


def test_the_entropy_is_that_of_a_model_that_knows_the_grammar() -> None:
    """Six choices of ln 2 on seven predicted symbols; the oracle's score is near it, and solved above it."""
    task = TASKS.build("reber")
    assert _reber.entropy(certain=1, free=0) == pytest.approx(6 * math.log(2) / 7)
    batch = task.batch("test", 0, np.arange(1024))
    assert batch.lengths is not None
    output = torch.full((*batch.y.shape, 7), -100.0)
    for row, length in enumerate(batch.lengths.tolist()):
        place = 0
        for t, symbol in enumerate(text(batch.x[row], length)):
            place = 1 if t == 0 else WAYS[place, symbol]
            for following in [key[1] for key in WAYS if key[0] == place] or ["E"]:
                output[row, t, SYMBOLS.index(following)] = 0.0
    total, weight = task.metrics(output, batch)["nll"]
    assert float(total / weight) == pytest.approx(6 * math.log(2) / 7, rel=0.02)
    assert float(total / weight) < task.solved < task.chance


@pytest.mark.parametrize("name", ["embedded_reber", "continual_reber"])
def test_recall_asks_for_the_second_of_the_pair_alone(name: str) -> None:
    task = TASKS.build(name)
    batch = task.batch("val", 0, np.arange(64))
    assert batch.lengths is not None
    assert batch.events is not None
    asked = _reber.recalled(batch.y, batch.lengths)
    strings = getattr(task, "strings", 1)
    assert (asked.sum(1) == strings).all()
    assert (batch.events & (torch.arange(batch.x.shape[1]) < batch.lengths[:, None])).sum(1).eq(strings).all()
    for row in range(64):
        remembered = batch.x[row][batch.events[row]]
        assert torch.equal(batch.y[row][asked[row]], remembered)
    perfect = torch.nn.functional.one_hot(batch.y, 7).float()
    total, weight = task.metrics(perfect, batch)["recall"]
    assert float(total / weight) == 1.0
    assert weight == 64 * strings


def test_a_stream_is_strings_one_behind_the_other() -> None:
    task = TASKS.build("continual_reber", strings=3)
    assert task.carried
    batch = task.batch("train", 0, np.arange(20))
    assert batch.lengths is not None
    for x, y, length in zip(batch.x, batch.y, batch.lengths.tolist(), strict=True):
        whole = text(x, length)
        cuts = [match.end() for match in re.finditer("E[TP]E", whole)]
        assert len(cuts) == 3
        assert cuts[-1] == length
        assert all(is_embedded(whole[start:end]) for start, end in zip([0, *cuts], cuts, strict=False))
        assert text(y, length) == whole[1:] + "B"
