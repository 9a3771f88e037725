"""When a claim is confirmatory, what counts as a look, and what an earlier look decided."""

import dataclasses
from pathlib import Path

import pytest

from gatelab.analysis.papers.claims import HOLDS, UNDECIDED, Decision, Verdict
from gatelab.analysis.papers.paper import Claim, Paper, Scale
from gatelab.analysis.papers.protocol import CONFIRMATORY, FILE, fingerprint, open_protocol
from gatelab.analysis.papers.reproduction import JudgedClaim
from gatelab.analysis.statistics.intervals import Interval
from gatelab.errors import UserError

NONE, SOME = {"a": 0, "b": 0}, {"a": 3, "b": 3}


def paper(margin: float = 0.1, statement: str = "s", seeds: int = 3, overrides: tuple[str, ...] = ("task=adding",)) -> Paper:
    claim = Claim("claim", statement, "s", "s", "better", ("a", "b"), "test mse", margin, False, "")
    scale = Scale((), seeds, 0, {}, 1.0, "estimated", (), {})
    arms = {"a": ("cell=lstm",), "b": ("cell=gru",)}
    return Paper(Path("mine"), "c", "l", "a", overrides, arms, None, {"reduced": scale}, {"claim": claim}, ())


def judged(decision: Decision) -> list[JudgedClaim]:
    return [JudgedClaim(paper().claims["claim"], Verdict(decision, Interval(0.0, None, None), (3, 3)), {})]


def test_a_claim_written_down_before_its_runs_is_confirmatory(tmp_path: Path) -> None:
    assert open_protocol(tmp_path, paper(), "reduced", NONE, "2026-01-01", "abc").label("claim") == CONFIRMATORY
    later = open_protocol(tmp_path, paper(statement="other words", seeds=10), "reduced", SOME, "2026-02-02", "def")
    assert later.label("claim") == CONFIRMATORY
    assert later.claims["claim"]["commit"] == "abc"


def test_a_claim_changed_after_its_runs_is_exploratory(tmp_path: Path) -> None:
    open_protocol(tmp_path, paper(), "reduced", NONE, "2026-01-01", "abc")
    changed = open_protocol(tmp_path, paper(margin=0.2), "reduced", SOME, "2026-02-02", "0123456789")
    assert changed.label("claim") == "exploratory since 2026-02-02 (01234567)"


def test_a_claim_about_runs_that_were_there_is_exploratory(tmp_path: Path) -> None:
    assert open_protocol(tmp_path, paper(), "reduced", SOME, "2026-02-02", None).label("claim") == "exploratory since 2026-02-02"


@pytest.mark.parametrize("other", [paper(margin=0.2), paper(overrides=("task=copying",)), dataclasses.replace(paper(), select=0.1)])
def test_what_decides_a_claim_is_in_its_fingerprint(other: Paper) -> None:
    assert fingerprint(other, "reduced", "claim") != fingerprint(paper(), "reduced", "claim")
    assert fingerprint(paper(statement="t", seeds=9), "reduced", "claim") == fingerprint(paper(), "reduced", "claim")


def test_the_same_runs_are_one_look_and_more_runs_are_another(tmp_path: Path) -> None:
    protocol = open_protocol(tmp_path, paper(), "reduced", NONE, "2026-01-01", None)
    assert protocol.look(SOME) == 1
    protocol.settle(judged(UNDECIDED), SOME, "2026-01-01")
    assert protocol.look(SOME) == 1
    assert protocol.look({"a": 5, "b": 3}) == 2
    protocol.write()
    assert open_protocol(tmp_path, paper(), "reduced", SOME, "2026-01-02", None).look({"a": 5, "b": 3}) == 2


def test_what_a_look_decided_stands(tmp_path: Path) -> None:
    protocol = open_protocol(tmp_path, paper(), "reduced", NONE, "2026-01-01", None)
    (first,) = protocol.settle(judged(HOLDS), SOME, "2026-01-01")
    (second,) = protocol.settle(judged(UNDECIDED), {"a": 5, "b": 5}, "2026-01-02")
    assert (first.verdict.decision, first.label) == (HOLDS, CONFIRMATORY)
    assert (second.verdict.decision, second.verdict.note) == (HOLDS, "decided by look 1, at 6 runs")


def test_a_decision_about_a_claim_as_it_was_does_not_stand(tmp_path: Path) -> None:
    protocol = open_protocol(tmp_path, paper(), "reduced", NONE, "2026-01-01", None)
    protocol.settle(judged(HOLDS), SOME, "2026-01-01")
    protocol.write()
    changed = open_protocol(tmp_path, paper(margin=0.2), "reduced", SOME, "2026-02-02", None)
    (found,) = changed.settle(judged(UNDECIDED), {"a": 5, "b": 5}, "2026-01-01")
    assert found.verdict.decision == UNDECIDED


def test_a_damaged_protocol_is_named(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text('{"format": 1, "claims": 3}')
    with pytest.raises(UserError, match=r"protocol\.json is damaged"):
        open_protocol(tmp_path, paper(), "reduced", NONE, "2026-01-01", None)
