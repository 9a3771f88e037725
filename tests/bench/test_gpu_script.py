"""The script for a GPU, tried on the CPU: what it measures, and that nothing that goes wrong takes the rest with it."""

import argparse
import itertools
import json
import signal
import sys
import types
from pathlib import Path
from typing import Any

import pytest
import torch

from gatelab import kernels
from gatelab.bench import clock, steps
from gatelab.bench.gpu import __main__ as script
from gatelab.bench.gpu import accuracy, runs
from gatelab.bench.gpu.section import Section, Setting
from gatelab.kernels import Scan, eager

HERE = Setting("cpu", True, 1, ("lstm",))


@pytest.fixture
def run(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    """Runs the script in small; returns its status, its file and its lines."""
    before = signal.getsignal(signal.SIGTERM)

    def call(*arguments: str) -> tuple[int, dict[str, Any], list[str]]:
        out = tmp_path / "found.json"
        status = script.main(["--small", "--device", "cpu", "--rounds", "1", "--cells", "lstm", "--out", str(out), *arguments])
        return status, json.loads(out.read_text()) if out.exists() else {}, capfd.readouterr().out.splitlines()

    yield call
    signal.signal(signal.SIGTERM, before)


def child(name: str, out: Path, share: str = "0:1") -> argparse.Namespace:
    return argparse.Namespace(child=f"{name}:{share}", cells="lstm", small=True, rounds=1, device="cpu", out=out)


def section(monkeypatch: pytest.MonkeyPatch, **rows: Any) -> None:
    monkeypatch.setitem(script.SECTIONS, "tried", Section(lambda setting: rows, 1))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")  # torch.compile, of torch itself
@pytest.mark.parametrize("name", script.SECTIONS)
def test_every_row_of_every_section_is_measured(name: str, tmp_path: Path):
    assert script._child(child(name, tmp_path / "found.json")) == 0
    rows = json.loads((tmp_path / "found.json").read_text())
    assert rows
    for key, row in rows.items():
        assert "refused" not in row, (key, row)
        assert row.get("passed", True), (key, row)
        assert "None" not in script._row(row)


@pytest.mark.slow
def test_sections_in_processes_of_their_own_end_in_one_file(run):
    status, found, lines = run("--sections", "ceilings,accuracy", "--scale", "10")
    assert status == 0
    assert {name: part["ended"] for name, part in found["sections"].items()} == {"ceilings": "complete", "accuracy": "complete"}
    assert found["sections"]["accuracy"]["rows"]["lstm"]["passed"]
    assert any(line.startswith("lstm") and "passed" in line for line in lines)
    assert found["device"] == "cpu"
    assert found["machine"]["cpu"]
    assert found["versions"]["torch"] == torch.__version__


@pytest.mark.slow
def test_a_section_that_takes_too_long_is_ended(run):
    status, found, _ = run("--sections", "accuracy,ceilings", "--seconds", "1.2", "--scale", "0.001")
    assert status == 1
    assert found["sections"]["accuracy"]["ended"] == "ended after 0 s"


def test_an_unknown_section_is_named(capsys: pytest.CaptureFixture[str]):
    assert script.main(["--sections", "shapes,sizes"]) == 2
    assert "Unknown section 'sizes'" in capsys.readouterr().err


def test_a_row_that_raises_leaves_the_others(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    def broken() -> dict[str, Any]:
        raise RuntimeError("CUDA error: an illegal memory access was encountered\nSearch for it")

    section(monkeypatch, first=broken, second=lambda: {"passed": True})
    assert script._child(child("tried", tmp_path / "found.json")) == 0
    found = json.loads((tmp_path / "found.json").read_text())
    assert found == {"first": {"refused": "CUDA error: an illegal memory access was encountered"}, "second": {"passed": True}}


def test_a_process_begins_behind_the_row_at_which_the_one_before_died(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    section(monkeypatch, first=lambda: {"passed": False}, second=lambda: {"passed": True})
    (tmp_path / "found.json").write_text(json.dumps({"first": {"refused": script.RUNNING}}))
    script._child(child("tried", tmp_path / "found.json"))
    found = json.loads((tmp_path / "found.json").read_text())
    assert found == {"first": {"refused": script.RUNNING}, "second": {"passed": True}}


def test_rows_are_shared_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    section(monkeypatch, **{str(number): lambda: {} for number in range(5)})
    for number in range(2):
        script._child(child("tried", tmp_path / f"{number}.json", f"{number}:2"))
    assert [[*json.loads((tmp_path / f"{number}.json").read_text())] for number in range(2)] == [["0", "2", "4"], ["1", "3"]]


@pytest.mark.slow
def test_a_process_that_dies_is_started_again_and_its_last_words_are_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    options = argparse.Namespace(device="cpu", rounds=1, small=True, cells=None)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "dies"))
    (tmp_path / "dies").write_text(f"#!/bin/sh\necho x >> {tmp_path}/starts\necho 'the driver is gone'\nexit 7\n")
    (tmp_path / "dies").chmod(0o755)
    found = script._section("accuracy", 60, 1, options, tmp_path)
    assert found == {"ended": "a process ended with status 7: the driver is gone", "rows": {}}
    assert (tmp_path / "starts").read_text().split() == ["x"] * script.AGAIN


@pytest.mark.parametrize("factor", [1.0, 1.05, float("nan")], ids=["right", "wrong", "nan"])
def test_a_backend_with_other_numbers_does_not_pass(monkeypatch: pytest.MonkeyPatch, factor: float):
    def scan(*arguments: Any) -> Scan:
        found = eager.scan(*arguments)
        return found._replace(output=found.output * factor)

    wrong = types.SimpleNamespace(refuses=lambda *arguments: None, scan=scan, DEVICE=None)
    monkeypatch.setitem(kernels.BACKENDS, "other", wrong)  # type: ignore[arg-type]
    found = accuracy.rows(HERE)["lstm"]()
    assert found["passed"] == (factor == 1.0)
    assert found["errors"]["eager float64"]["error"] < 1e-15
    assert "float16" in found["errors"]["cpu float16"]["refused"]


def test_times_of_calls_in_turn():
    order: list[str] = []

    def broken() -> None:
        raise ValueError("too large")

    calls = {name: lambda name=name: order.append(name) for name in ("a", "b")} | {"c": broken}
    times, refused = clock.measure(calls, "cpu", 2)
    assert refused == {"c": "ValueError: too large"}
    assert {name: sorted(of) for name, of in times.items()} == {"a": [0, 1], "b": [0, 1]}
    assert [key for key, _ in itertools.groupby(order)] == ["a", "b", "a", "b", "a"]
    assert clock.column(times["a"])["n"] == 2


def test_runs_that_are_cut():
    with pytest.raises(runs.Cut):
        runs.CutAt(3).on_train_batch_start(types.SimpleNamespace(global_step=3), None, None, 0)  # type: ignore[arg-type]
    runs.CutAt(3).on_train_batch_start(types.SimpleNamespace(global_step=2), None, None, 0)  # type: ignore[arg-type]


def test_a_step_of_torch_on_a_device():
    """Without the two ways that oneDNN has on a CPU."""
    step = {"shape": [2, 3, 4, 5], "dtype": "float32", "device": "cpu", "kind": "torch", "module": "GRU"}
    steps.build(step)()
