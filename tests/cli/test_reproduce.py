"""`gatelab reproduce`: every paper at its smoke scale, and a result whose truth is known."""

import json
from pathlib import Path

import pytest

from gatelab.analysis.papers.paper import find_papers, read_paper
from gatelab.sweeps.papers import papers_folder
from gatelab.tasks import TASKS

PAPERS = find_papers(papers_folder())


@pytest.mark.slow
@pytest.mark.parametrize("paper", PAPERS)
def test_every_paper_runs_at_smoke_scale(paper, gatelab, tmp_path, request, monkeypatch):
    """Whatever the claims say at this scale: all runs finish, and every claim gets a verdict from them."""
    read = read_paper(papers_folder(), paper)
    words = {word for makes in (read.overrides, *read.arms.values()) for word in makes}
    if any(TASKS.build(word.removeprefix("task=")).data_hashes() for word in words if word.startswith("task=")):
        request.getfixturevalue("mirror")
    monkeypatch.chdir(tmp_path)
    status, out, err = gatelab("reproduce", paper, "--scale", "smoke", "--save", "saved.json", "--figure", "claims.svg")
    assert status in (0, 1), err
    result = json.loads((tmp_path / "saved.json").read_text())
    assert result == json.loads((tmp_path / "runs" / "papers" / f"{paper}-smoke" / "result.json").read_text())
    assert all(arm["failed"] == 0 and arm["finished"] > 0 for arm in result["arms"].values())
    assert all(arm["parameters"] > 0 and arm["flops_per_step"] > 0 and arm["wall_seconds"] > 0 for arm in result["arms"].values())
    assert {claim["verdict"] for claim in result["claims"]} <= {"holds", "does not hold", "undecided"}
    assert (status == 1) == any(claim["verdict"] == "does not hold" for claim in result["claims"])
    picture = (tmp_path / "claims.svg").read_text()
    for claim in result["claims"]:
        assert claim["statement"].split()[0] in out
        assert claim["quantity"].replace("<", "&lt;").replace(">", "&gt;") in picture
    again, _, _ = gatelab("reproduce", paper, "--scale", "smoke")  # everything is there
    repeated = json.loads((tmp_path / "runs" / "papers" / f"{paper}-smoke" / "result.json").read_text())
    assert again == status
    assert repeated["claims"] == result["claims"]


def test_list_names_every_paper_and_scale(gatelab):
    status, out, _ = gatelab("reproduce", "--list")
    assert status == 0
    assert all(paper in out for paper in PAPERS)
    assert out.count("smoke") == out.count("reduced") == out.count("full") == len(PAPERS)
    status, out, _ = gatelab("reproduce", "--list", "--format", "json")
    assert status == 0
    for row in json.loads(out):
        if row["verdicts"] is None:
            assert row["labels"] is None
        else:
            assert sum(row["labels"].values()) == sum(row["verdicts"].values())
            assert all(label.startswith(("confirmatory", "exploratory since")) for label in row["labels"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["reproduce"], "name a paper"),
        (["reproduce", PAPERS[0][:-1]], f"Did you mean '{PAPERS[0]}'"),
        (["reproduce", PAPERS[0], "--scale", "reduce"], "Did you mean 'reduced'"),
        (["reproduce", PAPERS[0], "--figure", "claims.doc"], "must end with one of: .pdf, .png, .svg"),
        (["reproduce", PAPERS[0], "--seeds", "0"], "--seeds is 0, but it must be at least 1"),
    ],
)
def test_misuse_is_one_sentence(gatelab, arguments, message):
    status, _, err = gatelab(*arguments)
    assert status == 2
    assert message in err
    assert err.count("\n") == 1


def test_papers_come_with_the_package():
    assert (papers_folder() / PAPERS[0] / "paper.yaml").exists()
    assert Path(papers_folder()).name == "experiments"
