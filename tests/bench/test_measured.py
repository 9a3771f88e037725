"""The figures that come with gatelab: what is kept of a run, and which rows a cell finds."""

import json
import math
from dataclasses import asdict
from typing import Any

import pytest

from gatelab.bench import measured
from gatelab.cells import CELLS
from gatelab.errors import UserError

SHAPE = {"B": 1, "T": 2, "D": 3, "H": 4}


def row(label, seconds=0.5, **options):
    columns = {"cpu": {"seconds": seconds, "spread": 0.1, "n": 3, "rounds": [seconds] * 3}, "eager": {"seconds": 2.0}}
    names = {"cell": label, "options": options, "shape": SHAPE, "backend": "cpu", "columns": columns}
    return names | {"ratios": {"eager": 4.0}, "gflops": 1.5, "peak_share": 0.25, "flops": 7}


def run(*rows):
    machine = {"cpu": "Abacus 9000", "cores": 2, "platform": "Linux", "load": 0.1}
    versions = {"torch": "2.0", "gatelab": "0.1"}
    head = {"date": "2030-02-01T10:00:00+0000", "machine": machine, "versions": versions, "dtype": "float32"}
    return head | {"threads": 2, "repeats": 3, "peak_gflops": 6.0, "baseline": "lstm", "rows": list(rows)}


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.setattr(measured, "PATH", tmp_path / "measured.json")
    return measured.PATH


def figures_of(name, cell):
    return measured.figures(name, asdict(cell), asdict(CELLS.build(name)))


def test_the_rows_of_these_options_come_before_all_of_the_name(path):
    plain: Any = CELLS.build("cifg")
    other = CELLS.build("cifg", peepholes=True, forget_bias=3.0)
    options = {"forget_bias": plain.forget_bias, "peepholes": plain.peepholes}
    measured.keep(run(row("lstm"), row("cifg", 0.1, **options), row("cifg:peepholes=true", 0.2, **options | {"peepholes": True})))
    found, rows = figures_of("cifg", plain)
    assert found["machine"]["cpu"] == "Abacus 9000"
    assert [figures["seconds"] for figures in rows] == [0.1]
    assert [figures["seconds"] for figures in figures_of("cifg", other)[1]] == [0.1, 0.2]
    assert figures_of("gru", CELLS.build("gru"))[1] == []
    assert "rounds" not in path.read_text()


def test_a_backend_that_measured_nothing_leaves_no_time(path):
    measured.keep(run(row("lstm") | {"backend": None, "gflops": None, "ratios": {}, "peak_share": None}))
    ((figures,),) = (figures_of("lstm", CELLS.build("lstm"))[1],)
    assert figures["seconds"] is None


def test_files_that_are_absent_damaged_or_in_the_way(path):
    assert figures_of("lstm", CELLS.build("lstm")) == ({}, [])
    path.write_text('{"rows": [')
    with pytest.raises(UserError, match=r"cannot be read .* `gatelab bench --keep`"):
        figures_of("lstm", CELLS.build("lstm"))
    path.unlink()
    path.mkdir()
    with pytest.raises(UserError, match="cannot be written"):
        measured.keep(run(row("lstm")))


def test_what_is_shipped_says_where_when_and_with_what():
    kept = json.loads(measured.PATH.read_text())
    assert kept["date"][:2] == "20"
    assert kept["machine"]["cpu"]
    assert kept["versions"].keys() >= {"torch", "gatelab"}
    for figures in kept["rows"]:
        name = figures["cell"].partition(":")[0]
        assert figures_of(name, CELLS.build(name, **figures["options"]))[1]
        assert math.isfinite(figures["gflops"])
        assert {"eager"} <= figures["ratios"].keys()
