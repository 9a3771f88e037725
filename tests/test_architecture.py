"""The page for those who work on gatelab: its picture is that of the code, and what it names exists."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / ".github" / "ARCHITECTURE.md").read_text()


def test_the_rooms_and_their_picture_are_those_of_the_code():
    done = subprocess.run([sys.executable, "scripts/rooms.py", "--check"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_each_question_has_one_file_for_an_answer():
    table = PAGE.partition("## Where do I change ...")[2].partition("\n## ")[0]
    answers = dict(re.findall(r"^\| (.+?) \| `(.+?)` \|$", table, re.M))
    asked = {"a gate statistic", "the message for a full disk", "the colour of a figure", "the memory that a Slurm job asks for"}
    assert asked <= set(answers)
    assert [file for file in answers.values() if not (ROOT / file).is_file()] == []


def test_the_answers_are_where_the_thing_is():
    """A word of the thing itself stands in the file, so that a move of the code is noticed."""

    def text(file: str) -> str:
        return (ROOT / file).read_text()

    assert "saturated_left" in text("gatelab/diagnostics/gates.py")
    assert "COLOURS = (" in text("gatelab/analysis/figures/looks.py")
    assert "mem_gb" in text("gatelab/sweeps/launch/slurm_jobs.py")
    holders = [file for file in (ROOT / "gatelab").rglob("*.py") if "disk is full:" in file.read_text()]
    assert holders == [ROOT / "gatelab/runs/files.py"]


def test_every_path_on_the_page_exists():
    """Paths are given from the repository's root, or from gatelab/."""
    paths = {path for path in re.findall(r"`([\w./-]+/[\w./-]*)`", PAGE) if not re.fullmatch(r"(val|gate)/.*", path)}
    assert len(paths) > 20
    halls = [ROOT, ROOT / "gatelab", *(ROOT / "gatelab").iterdir()]
    assert [path for path in sorted(paths) if not any((hall / path).exists() for hall in halls)] == []
