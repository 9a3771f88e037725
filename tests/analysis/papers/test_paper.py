"""The papers under `experiments/`: that each is complete; and what is said of a file that is not."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from gatelab.analysis.papers.paper import SCALES, find_papers, read_paper
from gatelab.errors import UserError

FOLDER = Path(__file__).parents[3] / "experiments"
NAMES = find_papers(FOLDER)


@pytest.mark.parametrize("name", NAMES)
def test_every_paper_is_complete(name: str) -> None:
    paper = read_paper(FOLDER, name)
    assert set(paper.scales) == set(SCALES)
    assert paper.claims
    assert paper.choices
    assert (paper.folder / "README.md").exists()
    for claim in paper.claims.values():
        assert claim.statement
        assert claim.source
        assert claim.paper
        assert claim.margin == 0 or claim.why, f"{claim.name}: the margin needs a reason"
    used = {arm for claim in paper.claims.values() for arm in claim.arms}
    assert used == set(paper.arms), "an arm that no claim uses is trained for nothing"


def test_there_are_papers() -> None:
    assert NAMES


@pytest.fixture
def written(tmp_path: Path):
    """Writes a paper with something changed, and reads it."""

    def write(*place: str, value: Any = None, drop: bool = False, name: str = NAMES[0]):
        raw = yaml.safe_load((FOLDER / name / "paper.yaml").read_text())
        node = raw
        for key in place[:-1]:
            node = node[key]
        if drop:
            del node[place[-1]]
        else:
            node[place[-1]] = value
        (tmp_path / "mine").mkdir(exist_ok=True)
        (tmp_path / "mine" / "paper.yaml").write_text(yaml.safe_dump(raw))
        return read_paper(tmp_path, "mine")

    return write


CLAIM, ARM = (next(iter(part)) for part in (read_paper(FOLDER, NAMES[0]).claims, read_paper(FOLDER, NAMES[0]).arms))


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("claim",), {}, r"the file: Unknown key 'claim'. Did you mean 'claims'\?"),
        (("arms",), [], "arms must be a mapping"),
        (("arms", "more"), "cell", "arms.more 'cell' is not an override of the form key=value"),
        (("claims", CLAIM, "comparison"), "belo", "Did you mean 'below'"),
        (("claims", CLAIM, "arms"), ["nobody"], "Unknown arm 'nobody'"),
        (("claims", CLAIM, "arms"), [], "takes 1 or more of the arms in a list"),
        (("claims", CLAIM, "margin"), "much", "margin is 'much', but must be a number"),
        (("claims", CLAIM, "quantity"), "recall", "'recall' is not a quantity"),
        (("claims", CLAIM, "higher_is_better"), "yes", "must be true or false"),
        (("scales", "smoke", "seeds"), 0, "seeds is 0, but must be a whole number"),
        (("scales", "smoke", "decides"), ["nothing"], "Unknown claim 'nothing'"),
        (("scales", "smoke", "arms"), {"nobody": "seed=1"}, "Unknown arm 'nobody'"),
        (("scales", "smoke", "arms"), {ARM: "cell"}, rf"scales.smoke.arms.{ARM} 'cell' is not an override"),
        (("select",), 2.0, "must be a share above 0 and up to 1"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(written, place, value, message) -> None:
    with pytest.raises(UserError, match=message) as caught:
        written(*place, value=value)
    assert "mine" in str(caught.value)


SEARCHED = next(name for name in NAMES if read_paper(FOLDER, name).scales["full"].search)
SHARE, OPTION = next(
    (claim.name, claim.quantity.split()[1])
    for claim in read_paper(FOLDER, SEARCHED).claims.values()
    if claim.quantity.startswith("share ")
)


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("claims", SHARE, "quantity"), "share optimizer.weight_decay", "Unknown option of the search 'optimizer.weight_decay'"),
        (("claims", SHARE, "quantity"), "lead interactions", "Unknown option of the search 'interactions'"),
        (("claims", SHARE, "quantity"), f"log share {OPTION}", "is not a quantity"),
        (("claims", SHARE, "comparison"), "order", "must be 'above' or 'below'"),
        (("scales", "reduced", "search"), {"optimizer.rate": "interval(0, 1)"}, "Unknown option of the search 'optimizer.rate'"),
        (("scales", "reduced", "search"), ["optimizer.lr"], r"scales\.reduced\.search must be a mapping"),
    ],
)
def test_what_is_wrong_with_a_search_is_named(written, place, value, message) -> None:
    with pytest.raises(UserError, match=message):
        written(*place, value=value, name=SEARCHED)


def test_a_scale_changes_intervals_of_the_search(written) -> None:
    before = read_paper(FOLDER, SEARCHED).scales["full"].search
    option = next(iter(before))
    scales = written("scales", "reduced", "search", value={option: "interval(2, 3)"}, name=SEARCHED).scales
    assert scales["reduced"].search == {**before, option: "interval(2, 3)"}
    assert scales["full"].search == before


def test_what_is_missing_is_named(written) -> None:
    with pytest.raises(UserError, match="the file lacks 'claims'"):
        written("claims", drop=True)
    with pytest.raises(UserError, match=rf"claims\.{CLAIM} lacks 'source'"):
        written("claims", CLAIM, "source", drop=True)


def test_an_unknown_paper_and_a_damaged_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"Did you mean '{NAMES[0]}'"):
        read_paper(FOLDER, NAMES[0][:-1])
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "paper.yaml").write_text("claims: [")
    with pytest.raises(UserError, match=r"paper.yaml cannot be read"):
        read_paper(tmp_path, "broken")
