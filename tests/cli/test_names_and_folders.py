"""One grammar for a cell with options, and one for folders and sweeps, in all commands."""

import json

import pytest

from gatelab.cli.arguments import report_command
from gatelab.cli.commands import COMMANDS
from gatelab.errors import UserError
from gatelab.options.signature import Parser
from gatelab.runs import RunWriter
from gatelab.sweeps.naming import cells_of, entries_of


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["lstm"], {("cell", "lstm", "LSTM(forget_bias=1.0)")}),
        (["cell=cifg", "cell.peepholes=true"], {("cell", "cifg", "CIFG(peepholes=True, forget_bias=1.0)")}),
        (["cell.peepholes=true", "cifg"], {("cell", "cifg", "CIFG(peepholes=True, forget_bias=1.0)")}),
        (["adding", "task.length=7"], {("task", "adding", "Adding(length=7)")}),
        (["gru", "task=adding"], {("cell", "gru", "GRU()"), ("task", "adding", "Adding(length=100)")}),
    ],
    ids=lambda given: " ".join(given) if isinstance(given, list) else "",
)
def test_a_name_with_options(words, expected) -> None:
    assert {(kind, name, repr(entry)) for kind, name, entry in entries_of(words, "explain")} == expected


def test_a_file_names_what_it_defines(plugin) -> None:
    for words in ([str(plugin), "cell.scale=2"], ["damped", "cell.scale=2", f"plugins=[{plugin}]"]):
        ((kind, name, entry),) = entries_of(words, "explain")
        assert (kind, name, entry.scale) == ("cell", "damped", 2)


def test_several_values_are_several_cells() -> None:
    assert cells_of(["attention", "cell.window=3,5"]) == [("attention", {"window": 3}), ("attention", {"window": 5})]
    assert cells_of(["lstm", "rnn"]) == cells_of(["cell=lstm,rnn"]) == [("lstm", {}), ("rnn", {})]
    with pytest.raises(UserError, match="'window'"):
        cells_of(["lstm", "attention", "cell.window=3"])
    with pytest.raises(UserError, match="in one way"):
        cells_of(["lstm", "cell=gru,rnn"])


def test_explain_takes_several_names(gatelab) -> None:
    status, out, _ = gatelab("explain", "rnn", "adding")
    assert status == 0
    assert "cell rnn" in out
    assert "task adding" in out


@pytest.fixture
def swept(tmp_path, monkeypatch):
    """Two runs, of which one belongs to the sweep `mine`."""
    monkeypatch.chdir(tmp_path)
    summary = {"metric": "mse", "higher_is_better": False, "chance": 1 / 6, "solved": 0.01, "val": {}, "gates": {}}
    for seed in (0, 1):
        writer = RunWriter(tmp_path / "runs" / f"lstm-adding-s{seed}-x")
        config = {"cell": {"name": "lstm"}, "task": {"name": "adding"}, "seed": seed, "data_seed": None, "plugins": []}
        writer.start(config | {"trainer": {"max_steps": 5}}, {}, str(seed))
        writer.finish(summary | {"parameters": 5, "seconds_per_step": 0.1, "test": {"mse": 0.1 + seed}}, 5)
        writer.close()
    sweep = tmp_path / "runs" / "sweeps" / "mine"
    sweep.mkdir(parents=True)
    planned = {f"lstm-adding-s{seed}-x": {"cell": "lstm", "task": "adding", "overrides": []} for seed in (1, 2)}
    (sweep / "plan.json").write_text(json.dumps({"format": 1, "runs": planned, "commands": []}))


@pytest.mark.parametrize("given", [["mine"], ["runs/sweeps/mine"], ["mine", "--out", "runs"]], ids=" ".join)
def test_a_sweep_stands_for_its_runs(given, swept, gatelab) -> None:
    status, out, err = gatelab("compare", *given, "--format", "json")
    assert status == 0, err
    (row,) = json.loads(out)["rows"]
    assert (row["n"], row["median"]) == (1, pytest.approx(1.1))
    status, out, _ = gatelab("status", *given, "--format", "json")
    assert len(json.loads(out)["runs"]) == 2


def test_a_folder_stands_for_all_runs_in_it(swept, gatelab) -> None:
    for given in ([], ["runs"], ["--out", "runs"]):
        (row,) = json.loads(gatelab("compare", *given, "--format", "json")[1])["rows"]
        assert row["n"] == 2
    status, _, err = gatelab("report", "mnie")
    assert status == 2
    assert "There is no folder and no sweep 'mnie'. Below runs there are: mine." in err


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["my runs", "--level", "-0.5", "--time", "flops"], "gatelab report 'my runs' --level=-0.5 --time flops -o report.html"),
        (["a", "b", "--baseline", "gru", "--out", "c"], "gatelab report a b --out c --baseline gru -o report.html"),
        ([], "gatelab report runs -o report.html"),
    ],
)
def test_the_command_of_a_page_has_its_options(options, line):
    given = Parser("report", COMMANDS["report"]).values(options)
    assert report_command(**given) == line
