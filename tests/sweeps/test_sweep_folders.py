"""Sweeps are found by name or folder wherever their runs are, and what is printed can be pasted into a shell."""

import io
import json
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from gatelab.cli import resume
from gatelab.runs import folders
from gatelab.runs.files import is_folder_name
from gatelab.runs.sweep import commands, read_plan, write_plan
from gatelab.sweeps import command
from gatelab.sweeps.jobs import compose
from gatelab.sweeps.launch import progress
from gatelab.sweeps.launch.progress import Progress

Gatelab = Callable[..., tuple[int, str, str]]


def planned(out: str, sweep: str, seed: int = 0) -> Path:
    """A sweep of one run below a folder, which has not begun."""
    path = Path(out) / f"rnn-adding-s{seed}-0"
    config = {"cell": {"name": "rnn"}, "task": {"name": "adding"}, "sweep": sweep}
    write_plan({path: config}, {}, ["-m", "cell=rnn", f"out={out}", f"sweep={sweep}"])
    return Path(out) / "sweeps" / sweep


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with sweeps below `runs` and elsewhere."""
    monkeypatch.chdir(tmp_path)
    planned("runs", "mine")
    planned("other runs", "far")
    planned("other runs", "mine")
    planned("third", "twice")
    planned("fourth", "twice")
    return tmp_path


@pytest.mark.parametrize(
    ("given", "out", "expected"),
    [
        ("mine", None, "runs/sweeps/mine"),  # that of the default comes first
        ("mine", "other runs", "other runs/sweeps/mine"),
        ("far", None, "other runs/sweeps/far"),
        ("far", "other runs", "other runs/sweeps/far"),
        ("third", None, "third/sweeps/twice"),  # there is only one in it
        ("other runs/sweeps/far", None, "other runs/sweeps/far"),
    ],
)
def test_where_a_sweep_is(here: Path, gatelab: Gatelab, monkeypatch, given: str, out: str | None, expected: str):
    assert folders.sweep_folder(given, out) == Path(expected)
    trained = []
    monkeypatch.setattr(resume, "train", lambda arguments, planned: trained.append(arguments) or 0)
    assert gatelab("resume", given, *(["--out", out] if out else []))[0] == 0
    assert trained == [[*commands(here / expected)[0]["arguments"], "machine.retry=none"]]


def test_status_finds_them_as_well(here: Path, gatelab: Gatelab):
    for given in (["far"], ["far", "--out", "other runs"], ["--out", "third"], ["third"], []):
        status, out, err = gatelab("status", *given, "--format", "json")
        assert (status, len(json.loads(out)["runs"])) == (0, 1), err


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("nowhere",), "There is no folder and no sweep 'nowhere'. Below runs there are: mine. Below fourth there are: twice."),
        (("far", "--out", "third"), "There is no folder and no sweep 'far'. Below third there are: twice."),
        (("far", "--out", "absent"), "There is no folder and no sweep 'far'. Give its name"),
        (("twice",), "There are several sweeps 'twice': fourth/sweeps/twice, third/sweeps/twice. Give the folder of one."),
        (("other runs",), "There are 2 sweeps in 'other runs': far, mine. Give the folder of one, as in other runs/sweeps/mine."),
        (("x" * 300,), "There is no folder and no sweep 'xxx"),
        (("",), "There is no folder and no sweep ''"),
    ],
)
def test_what_is_not_found_is_named_with_what_there_is(here: Path, gatelab: Gatelab, given: tuple[str, ...], said: str):
    status, _, err = gatelab("resume", *given)
    assert status == 2
    assert said in err


@pytest.mark.parametrize("out", ["runs", "my runs", "it's; $HOME", "/abs/a b"])
def test_the_command_that_resumes_can_be_pasted(out: str):
    words = shlex.split(command.resume_command(out, "a b"))
    assert words == ["gatelab", "resume", "a b" if out == "runs" else f"{out}/sweeps/a b"]


def test_what_comes_next_can_be_pasted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    printed = io.StringIO()
    monkeypatch.setattr(progress, "Console", lambda **_: Console(file=printed, width=200))
    out = tmp_path / "my runs"
    with Progress([out / "lstm-adding-s0-x"]) as bar:
        pass
    bar.summarise()
    line = printed.getvalue().splitlines()[-1].removeprefix("Next: ")
    assert shlex.split(line) == ["gatelab", "compare", str(out), "gatelab", "report", str(out), "-o", "report.html"]


@pytest.mark.parametrize(
    "value", ["runs", "a b", "a,b", "it's", "a\\", "a\\'b", 'say "x"', "a=b", "[x]", "{a: b}", "ä ö", "(", "1"]
)
def test_hydra_reads_an_override_as_it_was_meant(value: str):
    (parsed,) = compose.parse([f"out={compose.quoted(value)}"])
    assert parsed.value() == value
    assert not parsed.is_sweep_override()


NAMES = {
    "": False,
    ".": False,
    "..": False,
    ".hidden": False,
    "-m": False,
    "a/b": False,
    "/abs": False,
    "a\\b": False,
    "a\nb": False,
    "\x1b[31m": False,
    "a\u202eb": False,
    " a": False,
    "a ": False,
    "\udc80": False,
    "x" * 201: False,
    "ä" * 101: False,
    "x" * 200: True,
    "a b": True,
    "a-b.c_1": True,
    "ähnlich": True,
    "20260101-120000": True,
}


@pytest.mark.parametrize(("name", "fit"), NAMES.items(), ids=[ascii(name)[:20] for name in NAMES])
def test_names_of_sweeps(name: str, fit: bool, tmp_path: Path, gatelab: Gatelab, monkeypatch: pytest.MonkeyPatch):
    assert is_folder_name(name) == fit
    file = tmp_path / "sweeps" / "s" / "plan.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({"runs": {name: {"cell": "rnn", "task": "adding"}}, "commands": []}))
    assert [run.path.name for run in read_plan(file.parent)] == ([name] if fit else [])


@pytest.mark.parametrize("name", ["", "..", "a/b", "-m", "a\tb", "x" * 201])
def test_a_command_refuses_what_cannot_be_a_folder(name: str, tmp_path: Path, gatelab: Gatelab, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    for sweep in ([], ["-m"]):
        status, _, err = gatelab("train", *sweep, "cell=rnn", "task=adding", f"sweep={compose.quoted(name)}")
        assert status == 2
        assert "sweep" in err
        assert len(err.splitlines()) == 1
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    ("command", "what"),
    [
        ({"arguments": "-m cell=rnn", "folder": "/"}, "arguments"),
        ({"arguments": [1, 2], "folder": "/"}, "arguments"),
        ({"arguments": {"a": 1}, "folder": "/"}, "arguments"),
        ({"arguments": ["-m"]}, "folder"),
        ({"arguments": ["-m"], "folder": 7}, "folder"),
    ],
)
def test_a_damaged_plan_is_refused_in_a_sentence(tmp_path: Path, gatelab: Gatelab, command: dict[str, object], what: str):
    folder = planned(str(tmp_path / "runs"), "mine")
    plan = json.loads((folder / "plan.json").read_text())
    (folder / "plan.json").write_text(json.dumps(plan | {"commands": [command]}))
    status, _, err = gatelab("resume", str(folder))
    assert status == 2
    assert f"plan.json is damaged: the {what} of a command" in err
    assert len(err.splitlines()) == 1
    assert gatelab("status", str(folder))[0] == 0
