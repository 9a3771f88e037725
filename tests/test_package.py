"""The project as a whole: its wheel, its layout."""

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

import gatelab

ROOT = Path(__file__).parents[1]
TOP_LEVEL = {"pyproject.toml", "README.md", "CHANGELOG.md", "CITATION.cff", "LICENSE", "conf", "docs", "gatelab", "experiments"}
TOP_LEVEL |= {"tests", "scripts"}


def tracked() -> list[Path]:
    output = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if output.returncode:
        pytest.skip("not a git checkout: which files belong to the project is not known")
    return [Path(line) for line in output.stdout.splitlines()]


def test_the_top_level_holds_nothing_else():
    names = {path.parts[0] for path in tracked()}
    assert {name for name in names if not name.startswith(".")} <= TOP_LEVEL


def test_no_file_is_longer_than_400_lines():
    long = {
        str(path): lines
        for path in tracked()
        if path.suffix in (".py", ".js", ".css", ".jinja", ".c")
        and "vendor" not in path.parts
        and (lines := len((ROOT / path).read_text().splitlines())) > 400
    }
    assert not long


def test_the_version_is_the_newest_of_the_changelog():
    """The first heading is what is not released yet, with its development version; the citation is of the last release."""
    headings = re.findall(
        r"^## (?:Unreleased \()?(\d+\.\d+\.\d+\S*?)\)?(?: \((\S+)\))?$", (ROOT / "CHANGELOG.md").read_text(), re.M
    )
    assert headings[0][0] == gatelab.__version__
    released = next(heading for heading in headings if "dev" not in heading[0])
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert (citation["version"], str(citation["date-released"])) == released


def test_actions_are_pinned_by_hash():
    uses = re.findall(r"uses: (\S+)", "".join(path.read_text() for path in (ROOT / ".github" / "workflows").iterdir()))
    assert uses
    assert [action for action in uses if not re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", action)] == []


def test_files_for_github_can_be_read():
    for path in (ROOT / ".github").rglob("*.yml"):
        assert yaml.safe_load(path.read_text()), path


def shown() -> list[tuple[str, str]]:
    """What pages show to be typed into a shell: README's blocks, and commands in the comments of configuration."""
    blocks = []
    for path in tracked():
        if path.suffix == ".md":
            blocks += [(str(path), block) for block in re.findall(r"^```bash\n(.*?)^```", (ROOT / path).read_text(), re.M | re.S)]
        elif path.suffix == ".yaml":
            lines = re.findall(r"^# (gatelab .*)", (ROOT / path).read_text(), re.M)
            blocks += [(str(path), line) for line in lines]
    assert len(blocks) > 5
    return blocks


def test_a_shell_takes_the_commands_that_are_shown():
    for path, block in shown():
        done = subprocess.run(["bash", "-n"], input=block, capture_output=True, text=True)
        assert done.returncode == 0, f"{path}: {done.stderr}"
        assert not re.search(r"<\w+>", block), f"{path}: a shell would read from a file where something is to be filled in: {block}"


@pytest.mark.slow
def test_a_wheel_in_an_empty_environment_trains(tmp_path):
    """Built, installed with its declared dependencies alone, and run away from the checkout."""

    def call(*command: str | Path, cwd: Path = tmp_path) -> str:
        environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV", "WANDB_API_KEY")}
        done = subprocess.run(
            [str(part) for part in command], cwd=cwd, capture_output=True, text=True, timeout=900, env=environment
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    call(sys.executable, "-m", "build", "--wheel", "--outdir", tmp_path / "dist", ROOT)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert "gatelab/py.typed" in names
    assert {f"gatelab/{path}" for path in map(str, tracked()) if path.startswith("conf/")} <= set(names)
    assert {str(path) for path in tracked() if path.parts[0] == "gatelab"} <= set(names)

    call(sys.executable, "-m", "venv", tmp_path / "env")
    python = tmp_path / "env" / "bin" / "python"
    call(python, "-m", "pip", "install", "-q", "--no-compile", "-c", ROOT / "scripts" / "constraints.txt", wheel)
    program = python.parent / "gatelab"
    said = call(program, "train", "cell=cifg", "task=digits", "trainer=debug", "model.hidden_size=8")
    assert "test accuracy" in said
    assert list(tmp_path.glob("runs/cifg-digits-s0-*/wandb/offline-run-*"))
    assert "cifg" in call(program, "compare", "runs")
    call(program, "report", "runs", "-o", "report.html")
    assert "<h1>Comparison of gating variants</h1>" in (tmp_path / "report.html").read_text()
    assert str(tmp_path / "env") in call(python, "-c", "import gatelab; print(gatelab.__file__)")
