"""The number of the format of what runs and sweeps write."""

import json
from pathlib import Path

import pytest

from gatelab.errors import UserError
from gatelab.runs import RunWriter, enqueue, find_runs, mark, read_run
from gatelab.runs.files import with_format
from gatelab.runs.sweep import commands, read_plan, write_plan


@pytest.fixture
def begun(tmp_path: Path) -> Path:
    """The directory of a run that has all of its JSON files."""
    path = tmp_path / "lstm-adding-s0-x"
    config = {"cell": {"name": "lstm"}, "task": {"name": "adding"}, "seed": 0, "trainer": {"max_steps": 1}}
    writer = RunWriter(path)
    writer.start(config, {"cpu": "some"}, "x")
    writer.finish({"metric": "mse", "val": {"mse": 1.0}, "test": {"mse": 1.0}}, 1)
    writer.close()
    return path


def renumber(file: Path, number: object) -> str:
    file.write_text(json.dumps(json.loads(file.read_text()) | {"format": number}))
    return file.read_text()


@pytest.mark.parametrize("name", ["config", "status", "summary", "provenance"])
def test_it_stands_first_and_is_none_of_the_contents(begun: Path, name: str):
    assert next(iter(json.loads((begun / f"{name}.json").read_text()).items())) == ("format", 1)
    run = read_run(begun)
    assert all("format" not in part for part in (run.config, run.status, run.summary(), run.provenance))


@pytest.mark.parametrize("name", ["config", "status"])
@pytest.mark.parametrize("number", [2, "one"])
def test_a_run_of_a_newer_format_is_not_read(begun: Path, name: str, number: object):
    text = renumber(begun / f"{name}.json", number)
    found, skipped = find_runs([begun.parent])
    assert not found
    assert skipped[0].reason == (
        f"{name}.json has format {number!r}, but this version of gatelab reads format 1 (use the version that wrote it)"
    )
    if name == "status":
        assert not mark(begun, "failed", "It was killed.")
        assert not enqueue(begun, {}, "x")
    assert (begun / f"{name}.json").read_text() == text


def test_what_inspect_found_has_a_format_too(begun: Path):
    (begun / "inspect.json").write_text(json.dumps(with_format({"best/test": {}})))
    assert read_run(begun).inspections() == {"best/test": {}}
    renumber(begun / "inspect.json", 2)
    with pytest.raises(UserError, match=r"inspect\.json has format 2"):
        read_run(begun).inspections()


def test_a_plan_of_a_newer_format_is_neither_read_nor_replaced(tmp_path: Path):
    jobs = {tmp_path / "lstm-adding-s0-x": {"cell": {"name": "lstm"}, "task": {"name": "adding"}, "sweep": "some"}}
    write_plan(jobs, arguments=["-m"])
    folder = tmp_path / "sweeps" / "some"
    assert json.loads((folder / "plan.json").read_text())["format"] == 1
    text = renumber(folder / "plan.json", 2)
    for read in (read_plan, commands, lambda _: write_plan(jobs, arguments=["-m"])):
        with pytest.raises(UserError, match=r"plan\.json has format 2"):
            read(folder)
    assert (folder / "plan.json").read_text() == text
