"""`gatelab reproduce`: every paper at its smoke scale, and a result whose truth is known."""

import json
from pathlib import Path

import pytest

from gatelab.analysis.papers import find_papers
from gatelab.cli.reproduce import papers_folder

PAPERS = find_papers(papers_folder())


@pytest.mark.slow
@pytest.mark.parametrize("paper", PAPERS)
def test_every_paper_runs_at_smoke_scale(paper, shell, tmp_path):
    """Whatever the claims say at this scale: all runs finish, and every claim gets a verdict from them."""
    done = shell("reproduce", paper, "--scale", "smoke", "--save", "saved.json")
    assert done.returncode in (0, 1), done.stderr
    result = json.loads((tmp_path / "saved.json").read_text())
    assert result == json.loads((tmp_path / "runs" / "papers" / f"{paper}-smoke" / "result.json").read_text())
    assert all(runs["failed"] == 0 and runs["finished"] > 0 for runs in result["runs"].values())
    assert {claim["verdict"] for claim in result["claims"]} <= {"holds", "does not hold", "undecided"}
    assert (done.returncode == 1) == any(claim["verdict"] == "does not hold" for claim in result["claims"])
    for claim in result["claims"]:
        assert claim["statement"].split()[0] in done.stdout
    again = shell("reproduce", paper, "--scale", "smoke")  # everything is there
    repeated = json.loads((tmp_path / "runs" / "papers" / f"{paper}-smoke" / "result.json").read_text())
    assert again.returncode == done.returncode
    assert repeated["claims"] == result["claims"]


def test_list_names_every_paper_and_scale(gatelab):
    status, out, _ = gatelab("reproduce", "--list")
    assert status == 0
    assert all(paper in out for paper in PAPERS)
    assert out.count("smoke") == out.count("reduced") == out.count("full") == len(PAPERS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["reproduce"], "name a paper"),
        (["reproduce", PAPERS[0][:-1]], f"Did you mean '{PAPERS[0]}'"),
        (["reproduce", PAPERS[0], "--scale", "reduce"], "Did you mean 'reduced'"),
        (["reproduce", PAPERS[0], "--seeds", "0"], "--seeds is 0, but must be at least 1"),
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
