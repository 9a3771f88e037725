"""`gatelab bench`: what it writes and says. No time is asserted."""

import dataclasses
import json
import math

import pytest

from gatelab.bench import rounds
from gatelab.bench.cases import Column, Shape, cases_of, labelled
from gatelab.bench.client import Client, WorkerError
from gatelab.kernels import BACKENDS
from gatelab.kernels.cpu.build import compiler

TINY = ["--shapes", "2x3x4x5", "--repeats", "2", "--threads", "1"]


def test_every_value_of_an_option_is_a_case(gatelab, plugin, monkeypatch):
    taken = []
    monkeypatch.setattr("gatelab.cli.bench._kernels", lambda given, *_: taken.extend(given) or {})
    status, _, err = gatelab("bench", *TINY, str(plugin), "cell.scale=2,3", "--format", "json")
    assert status == 0, err
    assert [dataclasses.asdict(case.cell)["scale"] for case in taken] == [2, 3]


@pytest.mark.slow  # processes that import torch, each for itself
def test_the_file_holds_everything(gatelab, plugin, tmp_path):
    status, out, err = gatelab("bench", *TINY, "cell=lstm,damped", f"plugins=[{plugin}]", "--format", "json")
    assert status == 0, err
    assert "2/2" in err
    result = json.loads(out)
    assert {"date", "machine", "versions", "threads", "repeats", "dtype", "peak_gflops"} <= result.keys()
    assert (result["peak_gflops"] is not None) == (compiler() is not None)
    assert {"cpu", "cores", "platform", "load"} <= result["machine"].keys()
    lstm, damped = result["rows"]
    assert damped["options"]["scale"] == 1.0
    assert damped["cell"] == "damped"
    assert lstm["shape"] == {"B": 2, "T": 3, "D": 4, "H": 5}
    assert lstm["backend"] == damped["backend"]
    assert {"torch_found", "torch_tuned"} <= lstm["ratios"].keys()
    peers = [f"torch_{worker}_{kind}" for worker in ("found", "tuned") for kind in ("onednn", "native")]
    here = {name for name, module in BACKENDS.items() if module.DEVICE in (None, "cpu")}
    assert {*here, "eager_found", *peers} <= lstm["columns"].keys()
    for name, column in lstm["columns"].items():
        assert column["n"] == len(column["rounds"]) == 2, name
        assert min(column["rounds"]) <= column["seconds"] <= max(column["rounds"])
        assert column["allocator"] == ("found" if "found" in name else "tuned")
    assert lstm["columns"]["eager"]["peak_mib"] >= 0
    assert lstm["gflops"] == pytest.approx(lstm["flops"] / lstm["columns"][lstm["backend"]]["seconds"] / 1e9)
    best = min(lstm["columns"][name]["seconds"] for name in peers[:2])
    assert lstm["columns"][lstm["torch"]["found"]]["seconds"] == best
    assert list(tmp_path.glob(".bench*")) == []


@pytest.mark.slow
def test_training_is_split_into_its_parts(gatelab, tmp_path):
    command = ("bench", "--training", "--quick", "--repeats", "1", "--threads", "1")
    status, out, _ = gatelab(*command)
    assert status == 0
    for text in ("task generator", "Lightning", "W&B", "logger=none", "processor time", "quartiles"):
        assert text in out
    result = json.loads(gatelab(*command, "--format", "json")[1])
    assert {"bare", "lightning", "metrics", "none", "wandb"} == result["milliseconds"].keys()
    assert all(len(blocks) == 1 for blocks in result["blocks"].values())
    assert all(math.isfinite(value) for value in (*result["milliseconds"].values(), *result["parts"].values()))
    assert {"gates, states, gradients", "metrics"} <= result["parts"].keys()


@pytest.mark.slow  # processes that import torch, each for itself
def test_a_column_that_is_refused_or_ends_its_process_leaves_the_others(plugin):
    deadly = plugin.with_name("deadly.py")
    deadly.write_text(plugin.read_text().replace("f = sigmoid(a.f)", "__import__('os')._exit(3)"))
    (row,) = cases_of(labelled([("rnn", {})]), [Shape(2, 3, 4, 5)], "float32", False, "lstm")
    step = row.columns[0].step
    refused = Column("refused", "tuned", {**step, "backend": "nonsense"})
    dead = Column("dead", "tuned", {**step, "cell": "deadly"})
    first, *others = row.columns  # that one is prepared before its process ends, the others behind it
    wrong = dataclasses.replace(row, columns=(first, refused, dead, *others))
    with rounds.Bench(1, "float32", 2, [str(deadly)], lambda line: None, memory=False) as bench:
        columns = bench.run(wrong)["columns"]
    assert "Unknown backend 'nonsense'" in columns["refused"]["refused"]
    assert "ended with status 3" in columns["dead"]["refused"]
    assert all(columns[column.name]["n"] == 2 for column in row.columns)


@pytest.mark.slow  # a process that imports torch
def test_a_worker_that_ends_is_noticed():
    with Client("found", 1) as client:
        client._process.kill()
        with pytest.raises(WorkerError, match="ended with status -9"):
            client.ask("hello")
