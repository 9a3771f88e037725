"""Hidden sizes with which variants are equally large or equally costly: the nearest, and how far off it is."""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch
from cells.variants import CELL_NAMES
from designs import over

from gatelab.config import Config, Model
from gatelab.diagnostics.cost import model_flops_per_step
from gatelab.errors import UserError
from gatelab.runs.matched import Matched, matched_sentences
from gatelab.training.fit import fit
from gatelab.training.matching import nearest
from gatelab.training.prepare import build_model, check
from gatelab.training.spec import Spec

Small = Callable[..., Config]


def sized(small: Small, cell: str, size: int, match: str = "units", **options: Any) -> Spec:
    return Spec(small(cell={"name": cell}, model=Model(hidden_size=size, match=match, **options)))


def count(spec: Spec) -> int:
    """Parameters or FLOPs of the model that a run has."""
    with torch.device("meta"):
        model = build_model(spec)
    if spec.config.model.match == "flops":
        return model_flops_per_step(model, spec.length)
    return sum(value.numel() for value in model.parameters())


@over(
    "name",
    CELL_NAMES,
    quick=lambda *_: True,
    match=["parameters", "flops"],
    options=[pytest.param({}, id="plain"), pytest.param({"num_layers": 2, "bidirectional": True, "bias": False}, id="deep")],
)
def test_the_nearest_size_is_taken(name: str, match: str, options: dict[str, Any], small: Small) -> None:
    spec = sized(small, name, 64, match, **options)
    assert spec.matched is not None
    wanted = count(sized(small, "lstm", 64, match, **options))
    assert count(spec) / wanted - 1 == pytest.approx(spec.matched.off)
    assert (spec.matched.by, spec.matched.to, spec.matched.hidden_size) == (match, "lstm", spec.hidden_size)
    if name == "lstm":
        assert (spec.hidden_size, spec.matched.off) == (64, 0.0)

    def off(size: int) -> float:
        fixed = dataclasses.replace(spec.config, model=Model(hidden_size=size, **options))
        other = Spec(fixed)
        with torch.device("meta"):
            model = build_model(other)
        found = model_flops_per_step(model, spec.length) if match == "flops" else sum(one.numel() for one in model.parameters())
        return abs(found - wanted)

    assert off(spec.hidden_size) <= min(off(spec.hidden_size - 1), off(spec.hidden_size + 1))


def test_a_size_that_is_far_off_is_taken_and_said(small: Small) -> None:
    """At 8 units no size comes near: it is not refused."""
    spec = sized(small, "fgr", 8, "parameters")
    check(spec)
    assert spec.matched is not None
    assert abs(spec.matched.off) > 0.02


def test_units_are_not_matched(small: Small) -> None:
    spec = sized(small, "fgr", 8)
    assert spec.matched is None
    assert spec.hidden_size == 8


def test_an_unknown_reference_is_named(small: Small) -> None:
    with pytest.raises(UserError, match="Unknown cell 'lstn'"):
        check(sized(small, "gru", 8, "flops", match_to="lstn"))


@pytest.mark.parametrize("wanted", [1, 2, 5, 6, 7, 100, 101, 10**12])
def test_the_search_against_a_look_at_all_sizes(wanted: int) -> None:
    size, off = nearest(lambda units: 3 * units * units, wanted)
    assert off == pytest.approx(3 * size * size / wanted - 1)
    if wanted < 1000:
        assert size == min(range(1, 50), key=lambda units: abs(3 * units * units - wanted))


@pytest.mark.slow
def test_a_run_notes_how_it_was_matched(small: Small) -> None:
    spec = sized(small, "gru", 8, "parameters")
    summary = fit(spec.config).summary()
    assert Matched.read(summary["matched"]) == spec.matched
    assert summary["hidden_size"] == spec.hidden_size != 8
    assert fit(small()).summary()["matched"] is None


def test_sentences() -> None:
    large = Matched("flops", "lstm", 64, 0.0112)
    pairs = [
        ("peephole", large),
        ("peephole", large),
        ("gru", Matched("flops", "lstm", 74, -0.002)),
        ("x", Matched("parameters", "rnn", 3, 0)),
    ]
    assert matched_sentences(pairs, " on adding") == [
        "Matched to lstm in FLOPs on adding (units a layer, difference): peephole 64 (+1.1%), gru 74 (-0.2%).",
        "Matched to rnn in parameters on adding (units a layer, difference): x 3 (+0.0%).",
    ]
    assert matched_sentences([]) == []
