"""Descriptions of cells and tasks: kept between calls, made again where anything that they are made from has changed."""

import json
import os
from pathlib import Path

import pytest

from gatelab.errors import UserError
from gatelab.registry.plugins import load_plugin
from gatelab.sweeps import described
from gatelab.sweeps.jobs.conf import REGISTRIES
from gatelab.training import description


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names that were described and not read from the cache of this test."""
    monkeypatch.setenv("GATELAB_CACHE", str(tmp_path / "cache"))
    names: list[str] = []
    make = description.describe_entry
    monkeypatch.setattr(description, "describe_entry", lambda kind, name, entry: names.append(name) or make(kind, name, entry))
    return names


def files(folder: Path) -> list[Path]:
    return sorted((folder / "cache" / "descriptions").glob("*"))


def test_what_was_described_is_kept_as_json_that_only_its_owner_can_write(made: list[str], tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        first = described.described(["lstm"], "explain")
    finally:
        os.umask(before)
    assert described.described(["lstm"], "explain") == first
    assert made == ["lstm"]
    (file,) = files(tmp_path)
    assert file.stat().st_mode & 0o777 == 0o600
    assert json.loads(file.read_text())["entries"] == first
    assert described.described(["gru"], "explain")[0]["name"] == "gru"
    assert made == ["lstm", "gru"]


def test_options_are_kept_apart(made: list[str]) -> None:
    narrow, wide = (described.described(["attention", f"cell.window={window}"], "explain")[0] for window in (2, 30))
    assert (narrow["values"]["window"], wide["values"]["window"]) == (2, 30)
    assert narrow["flops_per_step"] < wide["flops_per_step"]
    assert described.described(["attention", "cell.window=2"], "explain") == [narrow]
    assert made == ["attention", "attention"]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"words": []}'])
def test_a_damaged_file_is_replaced(content: str, made: list[str], tmp_path: Path) -> None:
    first = described.described(["rnn"], "explain")
    files(tmp_path)[0].write_text(content)
    assert described.described(["rnn"], "explain") == first
    assert described.described(["rnn"], "explain") == first
    assert made == ["rnn", "rnn"]


def test_another_version_of_what_it_is_made_from_is_another_description(made: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for sources in ("a", "b", "a"):
        monkeypatch.setattr(described, "_sources", lambda sources=sources: sources)
        described.described(["rnn"], "explain")
    assert made == ["rnn", "rnn"]


def test_the_sources_are_those_of_the_contract_and_of_every_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for room in described.ROOMS:
        (tmp_path / room).mkdir(parents=True)
        (tmp_path / room / "one.py").write_text("1")
    monkeypatch.setattr(described.gatelab, "__file__", str(tmp_path / "__init__.py"))
    hashes = [described._sources.__wrapped__()]
    for room in described.ROOMS:
        (tmp_path / room / "one.py").write_text("2")
        hashes.append(described._sources.__wrapped__())
    assert len(set(hashes)) == len(described.ROOMS) + 1


def test_without_a_cache_it_is_described_each_time(made: list[str], tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("not a folder")
    assert described.described(["rnn"], "explain") == described.described(["rnn"], "explain")
    assert made == ["rnn", "rnn"]


def test_what_a_user_wrote_is_never_kept(made: list[str], plugin: Path, tmp_path: Path) -> None:
    for _ in range(2):
        assert described.described([str(plugin)], "explain")[0]["name"] == "damped"
    load_plugin(plugin, REGISTRIES.values())
    described.described(["damped"], "explain")
    assert made == ["damped"] * 3
    assert not files(tmp_path)


def test_missing_data_are_looked_for_again_only_where_the_answer_must_be_whole(
    made: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing() -> float:
        raise UserError("There is no file.")

    monkeypatch.setattr("gatelab.tasks.jsb._chance", missing)
    for _ in range(2):
        (found,) = described.described(["jsb"], "list", ("task",), whole=False)
        assert found["chance"] is None
        assert found["chance_problem"] == "There is no file."
    assert made == ["jsb"]
    described.described(["jsb"], "explain", ("task",))
    assert made == ["jsb", "jsb"]


def test_a_name_that_does_not_exist_is_refused(made: list[str], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Did you mean 'lstm'"):
        described.described(["lstmx"], "explain")
    assert not files(tmp_path)
