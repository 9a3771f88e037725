"""Commands that print: they work for every entry of the registries, and reading results never imports torch."""

import json
import subprocess
import sys
from dataclasses import fields

import pytest
from cells.variants import each_cell_few_quick

from gatelab.bench import measured
from gatelab.cells import CELLS, Cell
from gatelab.cli.main import COMMANDS, main
from gatelab.runs import RunWriter
from gatelab.tasks import TASKS


def test_help_names_every_command(gatelab):
    status, out, _ = gatelab("--help")
    assert status == 0
    assert all(command in out for command in COMMANDS)


@pytest.mark.parametrize("command", [command for command in COMMANDS if command != "train"])
def test_every_command_has_help(command, gatelab):
    with pytest.raises(SystemExit) as stop:
        gatelab(command, "--help")
    assert stop.value.code == 0


@pytest.mark.parametrize(
    ("arguments", "ahead"),
    [
        (["-m", "seed=0,1"], True),
        (["seed=0,1", "--multirun", "hydra/launcher=local"], True),
        (["seed=0"], False),
        (["-m", "seed=0,1", "hydra/launcher=slurm"], False),
        (["-m", "seed=0,1", "--dry-run"], False),
        (["-m", "--cfg", "job"], False),
    ],
)
def test_only_a_sweep_on_this_machine_has_its_server_import_ahead(arguments, ahead, monkeypatch):
    begun = []
    monkeypatch.setattr("gatelab.sweeps.launchers.local.Local.start_ahead", lambda *_: begun.append(True))
    monkeypatch.setattr("gatelab.cli.train.train", lambda given: 0)
    assert main(["train", *arguments]) == 0
    assert begun == [True] * ahead


@pytest.mark.slow
def test_who_only_hands_out_jobs_never_imports_lightning():
    code = "import sys, gatelab.cli.train; sys.exit('lightning' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@each_cell_few_quick
def test_explain_shows_equations_options_cost_and_references(name, gatelab):
    status, out, _ = gatelab("explain", f"cell={name}")
    assert status == 0
    for text in ("Differs from the paper", "References", "parameters", "FLOPs a step", "```"):
        assert text in out
    for field in fields(CELLS.get(name)):  # type: ignore[arg-type]
        assert f"cell.{field.name}" in out


def test_explain_shows_what_was_measured_and_where(gatelab, tmp_path, monkeypatch):
    monkeypatch.setattr(measured, "PATH", tmp_path / "measured.json")
    assert "Speed: not measured. `gatelab bench gru` does it here." in gatelab("explain", "cell=gru")[1]
    shape, quick = {"B": 32, "T": 7, "D": 5, "H": 9}, {"cpu": {"seconds": 0.0123, "spread": 0.0, "n": 3}}
    ratios = {"eager": 5.25, "torch_found": 2.125}
    row = {"cell": "gru", "options": {}, "shape": shape, "backend": "cpu", "columns": quick, "ratios": ratios}
    machine = {"cpu": "Abacus 9000", "cores": 2, "load": 0.0}
    run = {"date": "2030-02-01T10:00:00+0000", "machine": machine, "versions": {"torch": "2.0"}, "dtype": "float32"}
    run |= {"threads": 2, "repeats": 3, "peak_gflops": 6.0, "rows": [row | {"gflops": 1.5, "peak_share": None}]}
    measured.keep(run)
    _, out, _ = gatelab("explain", "cell=gru")
    for text in ("32 x 7 x 5 x 9", "12.3", "5.25", "2.12", "1.5", "–", "2030-02-01", "Abacus 9000", "torch 2.0", "backend cpu"):
        assert text in out
    assert "not measured" in gatelab("explain", "cell=lstm")[1]


@pytest.mark.parametrize("name", TASKS.names())
def test_explain_shows_the_chance_level_with_its_derivation(name, gatelab, request):
    if name == "jsb":
        request.getfixturevalue("mirror")
    status, out, _ = gatelab("explain", f"task={name}")
    assert status == 0
    task = TASKS.build(name)
    assert f"{task.chance:.5g}: " in out
    assert " ".join(task.chance_derivation.split())[:30] in " ".join(out.split())
    assert f"{task.scale} scale" in " ".join(out.split())


@pytest.mark.parametrize(("kind", "registry"), [("cells", CELLS), ("tasks", TASKS)])
def test_list_names_every_entry(kind, registry, gatelab):
    status, out, _ = gatelab("list", kind)
    assert status == 0
    assert all(name in out for name in registry.names())


def test_list_takes_plugins(gatelab, plugin):
    assert "damped" in gatelab("list", "cells", str(plugin))[1]


@pytest.fixture
def runs(tmp_path):
    """Two finished runs, and folders that are none."""
    for seed, score in ((0, 0.01), (1, 0.03)):
        writer = RunWriter(tmp_path / "runs" / f"lstm-adding-s{seed}-x")
        config = {
            "cell": {"name": "lstm"},
            "task": {"name": "adding"},
            "seed": seed,
            "data_seed": None,
            "trainer": {"max_steps": 5},
            "plugins": [],
        }
        writer.start(config, {}, str(seed))
        summary = {"cell": "lstm", "task": "adding", "metric": "mse", "higher_is_better": False, "chance": 1 / 6, "solved": 0.01}
        writer.finish(summary | {"parameters": 5, "seconds_per_step": 0.1, "test": {"mse": score}, "val": {}, "gates": {}}, 5)
        writer.close()
    (tmp_path / "runs" / "holiday pictures").mkdir()
    return tmp_path / "runs"


def test_compare_in_every_format(runs, gatelab):
    status, out, err = gatelab("compare", str(runs), "--format", "json")
    assert status == 0
    (row,) = json.loads(out)["rows"]
    assert {key: row[key] for key in ("cell", "task", "metric", "n", "parameters")} == {
        "cell": "lstm",
        "task": "adding",
        "metric": "mse",
        "n": 2,
        "parameters": 5,
    }
    assert (row["mean"], row["median"]) == (None, pytest.approx(0.02))  # nothing is declared of the shape of these scores
    assert "holiday pictures" in err
    for name in ("table", "csv", "markdown"):
        status, out, _ = gatelab("compare", str(runs), "--format", name)
        assert status == 0
        assert "lstm" in out


def test_report_is_written_where_it_is_asked_for(runs, gatelab, tmp_path):
    status, out, _ = gatelab("report", str(runs), "-o", str(tmp_path / "page.html"), "--baseline", "lstm")
    assert status == 0
    assert str(tmp_path / "page.html") in out
    assert "lstm" in (tmp_path / "page.html").read_text()


def test_plot_writes_a_figure(runs, gatelab, tmp_path):
    pytest.importorskip("matplotlib", reason="Matplotlib is not installed: pip install 'gatelab[plots]'")
    path = tmp_path / "figures" / "ranking.pdf"
    status, out, err = gatelab("plot", str(runs), "--figure", "ranking", "-o", str(path))
    assert (status, str(path) in out, "holiday pictures" in err) == (0, True, True)
    assert path.read_bytes().startswith(b"%PDF-")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--figure", "rankin", "-o", "a.pdf"), "Did you mean 'ranking'? Available: cost, "),
        (("--figure", "ranking", "-o", "a.gif"), "must end with one of: .pdf, .png, .svg"),
        (("-o", "a.pdf"), "the following arguments are required: --figure"),
    ],
)
def test_plot_says_what_it_cannot_draw(runs, gatelab, arguments, message):
    status, _, err = gatelab("plot", str(runs), *arguments)
    assert status == 2
    assert message in err


def test_dashboard_refuses_a_port_that_there_is_not(runs, gatelab):
    status, _, err = gatelab("dashboard", str(runs), "--port", "70000")
    assert status == 2
    assert "--port is 70000, but it must be at most 65535" in err


@pytest.mark.slow
def test_reading_results_never_imports_torch(runs):
    code = f"import sys; from gatelab.cli.main import main; main(['compare', {str(runs)!r}]); print('torch' in sys.modules)"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.splitlines()[-1] == "False"


def test_compare_explains_every_statistic_with_its_source(gatelab, capsys):
    with pytest.raises(SystemExit):
        gatelab("compare", "--help")
    out = " ".join(capsys.readouterr().out.split())
    for source in (
        "Student 1908",
        "Dunnett's (1955)",
        "Mantel 1966",
        "Mann & Whitney 1947",
        "Thompson 1936",
        "Bonferroni",
        "Agarwal et al. 2021",
        "Newcombe 2006",
        "Hedges 1981",
    ):
        assert source in out


def test_diff_shows_the_equations_that_differ(gatelab):
    status, out, _ = gatelab("diff", "lstm", "cifg")
    assert status == 0
    assert "- i = sigmoid(W_i x + R_i h(t-1) + b_i)\n+ i = 1 - f\n" in out
    assert "the same: f, z, o, c, h" in out
    assert "- parameters: 4HD + 4H^2 + 4H\n+ parameters: 3HD + 3H^2 + 3H" in out


def test_diff_of_a_cell_and_its_options(gatelab):
    """An option belongs to the cell before it; equal cells have no difference."""
    status, out, _ = gatelab("diff", "cifg", "cifg", "cell.peepholes=true")
    assert status == 0
    assert out.startswith("- cifg\n+ cifg cell.peepholes=true\n")
    assert "+ o = sigmoid(W_o x + R_o h(t-1) + b_o + p_o . c)" in out
    assert "Their equations are the same." in gatelab("diff", "gru", "gru")[1]


@pytest.mark.parametrize("words", [["lstm"], ["lstm", "gru", "cifg"], ["cell.peepholes=true"]])
def test_diff_takes_two_cells(words, gatelab):
    status, _, err = gatelab("diff", *words)
    assert status == 2
    assert "compares two cells" in err


def test_explain_writes_latex(gatelab):
    status, out, _ = gatelab("explain", "cifg", "--format", "latex")
    assert status == 0
    assert out.startswith("% cifg\n\\begin{align*}\n")
    assert r"c_{t} &= f_{t} \odot c_{t-1} + i_{t} \odot z_{t}" in out


def test_explain_draws_a_cell(gatelab, tmp_path):
    path = tmp_path / "cell.svg"
    status, _, err = gatelab("explain", "cifg", "cell.peepholes=true", "--diagram", str(path))
    assert status == 0
    assert str(path) in err
    assert "p_o . c" in path.read_text()


@pytest.mark.parametrize(
    "words", [["lstm", "gru", "--diagram", "x.svg"], ["adding", "--diagram", "x.svg"], ["lstm", "--diagram", "x.png"]]
)
def test_explain_draws_one_cell_as_svg(words, gatelab, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, _, err = gatelab("explain", *words)
    assert status == 2
    assert "--diagram draws one cell into one file that ends in .svg" in err
    assert not [*tmp_path.iterdir()]


def test_cells_are_listed_by_family_and_year(gatelab):
    """Every cell names a family and begins its references with the paper of the variant."""
    status, out, _ = gatelab("list", "cells", "--format", "json")
    assert status == 0
    found = {one["name"]: one for one in json.loads(out)}
    assert not [name for name, one in found.items() if one["family"] == Cell.family or not one["year"]]
    assert {name: one["year"] for name, one in found.items() if name in ("rnn", "lstm", "gru")} == {
        "rnn": 1990,
        "lstm": 2000,
        "gru": 2014,
    }
    assert found["lstm"]["needs"] == [] and found["attention"]["needs"] == ["attention"]
    lines = gatelab("list", "cells")[1].splitlines()
    heads = [line.rstrip("\u2500 ") for line in lines if line.endswith("\u2500")]
    assert set(heads) == {one["family"] for one in found.values()} and len(heads) == len(set(heads))
    assert heads.index("LSTM") < heads.index("GRU")


def test_a_cell_that_is_not_compiled_says_why(gatelab, tmp_path):
    """And a cell without family and references is listed last."""
    path = tmp_path / "capped.py"
    path.write_text(CAPPED)
    status, out, _ = gatelab("list", "cells", str(path))
    assert status == 0
    text = " ".join(out.rpartition("other cells")[2].split())
    assert "capped" in text
    assert "HD + H^2 + H parameters" in text
    assert "eager loop only: " in text and "aten.ceil" in text


CAPPED = """
from dataclasses import dataclass

from torch import ceil, tanh

from gatelab.cells import Cell


@dataclass(frozen=True)
class Capped(Cell):
    \"\"\"A state in steps of a tenth.\"\"\"

    gates = {"z": "block_input"}

    def step(self, a, s, p):
        return {"h": tanh(a.z) + ceil(10 * s.h) / 10}, {}
"""
