"""Medians, ratios and what is made of blocks, on times written down by hand."""

import math

import pytest

from gatelab.bench.statistics import median, ratio, spread


def test_a_ratio_is_taken_within_each_round():
    # The machine was ten times slower in round 1: the medians alone would say 2 / 1 = 2 and hide that every round says 2 or 3.
    fast, slow = {0: 1.0, 1: 10.0, 2: 1.0}, {0: 3.0, 1: 20.0, 2: 3.0}
    assert ratio(slow, fast) == 3.0
    assert median(slow) == 3.0


def test_rounds_that_only_one_column_has_do_not_count():
    assert ratio({0: 4.0, 5: 100.0}, {0: 2.0, 1: 50.0}) == 2.0
    assert math.isnan(ratio({0: 1.0}, {1: 1.0}))


def test_spread():
    # Quartiles of 1 .. 5 are 2 and 4.
    assert spread(dict(enumerate([1.0, 2.0, 3.0, 4.0, 5.0]))) == pytest.approx(1 / 3)
    assert math.isnan(spread({0: 1.0}))


def test_parts_are_differences_of_neighbouring_blocks():
    from gatelab.bench.overhead import Block, figures  # which imports Lightning

    # Bare steps of 5, 6 and 50 ms, as noise has it; what lies over them is the same in each, but for one cycle 2 ms above.
    def blocks(over: float) -> "list[Block]":
        return [Block(bare + over + noise, bare, 0.0001) for bare, noise in ((0.005, 0.0), (0.006, 0.002), (0.05, 0.0))]

    found = figures({"lightning": blocks(0.001), "metrics": blocks(0.0012), "none": blocks(0.0013), "wandb": blocks(0.0016)})
    assert found["milliseconds"] == pytest.approx({"bare": 6, "lightning": 7, "metrics": 7.2, "none": 7.3, "wandb": 7.6})
    assert list(found["parts"].values()) == pytest.approx([0.1, 0.9, 0.2, 0.1, 0.3])
    # Over the cycles the whole step lies 1.3, 3.3 and 1.3 ms above the bare one: quartiles 1.3 and 2.3.
    assert found["quartiles"]["milliseconds"]["none"] == pytest.approx([7.3, 8.3])
    assert {group: of.keys() for group, of in found["quartiles"].items()} == {
        group: found[group].keys() for group in ("milliseconds", "parts")
    }
