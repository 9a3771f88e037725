"""What one run meets on a machine that fails under it: it says so in one sentence, and goes on or can go on."""

import errno
import json
import logging
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
from training.resuming import Cut, assert_same, cut_at, only_run, start, train_with_wandb

from gatelab.cells import CELLS
from gatelab.config import SGD, Config, Logger, Machine
from gatelab.errors import Stopped, UserError
from gatelab.kernels import cpu
from gatelab.runs import find_runs, read_run
from gatelab.training import checkpoints
from gatelab.training.failures import RunFailedError
from gatelab.training.fit import fit
from gatelab.training.module import SequenceModule

Make = Callable[..., Config]


def cut(config: Config, step: int = 14) -> Path:
    """Leaves a run that was killed at that step, with checkpoints of steps 3, 6, 9, 10 and so on."""
    with pytest.MonkeyPatch.context() as patch:
        cut_at(patch, step)
        with pytest.raises(Cut):
            fit(config)
    return only_run(config.out)


BETWEEN = Machine(checkpoint_steps=3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("damaged", "said"),
    [
        (("last",), "last.ckpt is damaged (its SHA-256 is not the recorded one): the previous one is used."),
        (("last", "previous"), "previous.ckpt is damaged (its SHA-256 is not the recorded one): the run begins again."),
        (("best",), "best.ckpt is damaged (its SHA-256 is not the recorded one): the run begins again, since its best"),
    ],
    ids=["last", "both", "best"],
)
def test_a_damaged_checkpoint(small: Make, caplog: pytest.LogCaptureFixture, damaged: tuple[str, ...], said: str):
    whole, config = fit(small("whole")), small("cut", machine=BETWEEN)
    folder = cut(config) / "checkpoints"
    for name in damaged:
        file = folder / f"{name}.ckpt"
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1  # one bit
        file.write_bytes(content)
    run = fit(config)
    assert said in caplog.text
    assert_same(run, whole)
    assert (folder / "last.damaged").exists()  # for whoever wants to know


@pytest.mark.slow
@pytest.mark.parametrize("hashes", [True, False])
def test_half_a_checkpoint_is_noticed_without_hashes_too(small: Make, caplog: pytest.LogCaptureFixture, hashes: bool):
    whole, config = fit(small("whole")), small("cut", machine=BETWEEN)
    folder = cut(config) / "checkpoints"
    (folder / "last.ckpt").write_bytes((folder / "last.ckpt").read_bytes()[:-1000])
    if not hashes:
        (folder / "sha256.json").write_text("{")
    assert_same(fit(config), whole)
    assert "last.ckpt " in caplog.text
    assert "the previous one is used" in caplog.text


@pytest.mark.slow
def test_checkpoints_of_an_earlier_version_are_taken_as_they_are(small: Make, caplog: pytest.LogCaptureFixture):
    whole, config = fit(small("whole")), small("cut", machine=BETWEEN)
    (cut(config) / "checkpoints" / "sha256.json").unlink()
    run = fit(config)
    assert run.status["from_step"] == 12
    assert_same(run, whole)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.slow
@pytest.mark.parametrize("file", ["status.json", "config.json", "provenance.json", "summary.json"])
@pytest.mark.parametrize("finished", [True, False], ids=["finished", "cut off"])
def test_a_file_that_another_program_cut_off(small: Make, file: str, finished: bool):
    whole, config = fit(small("whole")), small("cut", machine=BETWEEN)
    path = fit(config).path if finished else cut(config)
    (path / file).write_text('{"state": "fini')
    assert_same(fit(config), whole)


def test_a_damaged_line_of_metrics(small: Make, caplog: pytest.LogCaptureFixture):
    config = small(machine=BETWEEN)
    path = cut(config)
    lines = (path / "metrics.jsonl").read_text().splitlines(keepends=True)
    (path / "metrics.jsonl").write_text("".join([lines[0][:-9] + "\n", *lines[1:]]))
    run = fit(config)
    assert "damaged lines are left out: 1." in caplog.text
    assert run.metrics()["val/mse"][0] == [10, 20]


@pytest.mark.slow
def test_a_clock_that_was_set(small: Make):
    """The time of the last sign of life lies in the future, or long ago: the process decides."""
    config = small(machine=BETWEEN)
    path = cut(config)
    for shift in (1e6, -1e6):
        status = json.loads((path / "status.json").read_text())
        (path / "status.json").write_text(json.dumps(status | {"updated": status["updated"] + shift}))
        for lock in path.glob("lock-*"):
            os.utime(lock, (status["updated"] + shift,) * 2)
        cut(config)
    run = fit(config)
    assert run.state == "finished"
    assert 0 < run.status["wall_seconds"] < 1000


@pytest.mark.slow
def test_other_threads_than_before_are_noted(small: Make, caplog: pytest.LogCaptureFixture):
    path = cut(small(machine=BETWEEN))
    assert read_run(path).status["threads"] == 1
    run = fit(small(machine=Machine(threads=2)))
    torch.set_num_threads(1)
    assert "results may differ in the last bits. threads: 1 before, 2 now." in caplog.text
    assert json.loads((run.path / "provenance.json").read_text())["changed"] == ["threads: 1 before, 2 now"]
    assert run.status["threads"] == 2


def test_another_backend_than_before_is_noted(small: Make, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch):
    """As where the cache and TMPDIR may hold no code, or the compiler is gone."""
    path = cut(small(machine=BETWEEN))
    before = json.loads((path / "provenance.json").read_text())
    assert (before["backend"], before["passed_over"]) == ("cpu", None)
    monkeypatch.setattr(cpu, "refuses", lambda *_: "there is no C compiler.")
    run = fit(small())
    now = json.loads((run.path / "provenance.json").read_text())
    assert (now["backend"], now["passed_over"]) == ("eager", "Skipping backend 'cpu': there is no C compiler.")
    changed = "backend: cpu before, eager now (Skipping backend 'cpu': there is no C compiler)"
    assert now["changed"] == [changed]
    assert f"results may differ in the last bits. {changed}." in caplog.text


@pytest.mark.parametrize(("precision", "backend"), [("f32", "cpu"), ("f64", "cpu"), ("bf16", "eager")], ids=["f32", "f64", "bf16"])
def test_the_backend_is_that_of_the_number_format(small: Make, precision: str, backend: str):
    run = fit(small(trainer={"precision": precision, "max_steps": 2}))
    assert json.loads((run.path / "provenance.json").read_text())["backend"] == backend


@pytest.mark.slow
@pytest.mark.parametrize(
    ("error", "cause", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "x.ckpt"), "disk", "The disk is full: 'x.ckpt' could not be written."),
        (MemoryError(), "memory", "There is not enough memory: MemoryError."),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), "memory", "not enough memory"),
        (torch.OutOfMemoryError("CUDA out of memory."), "memory", "There is not enough memory: CUDA out of memory."),
        (RuntimeError("Something else."), "error", "Something else."),
    ],
    ids=["disk", "python", "torch", "cuda", "else"],
)
def test_what_ends_a_run_has_a_cause(small: Make, monkeypatch: pytest.MonkeyPatch, error: Exception, cause: str, said: str):
    original = SequenceModule.training_step

    def fails(self: SequenceModule, *arguments: Any) -> Any:
        if self.global_step == 12:
            raise error
        return original(self, *arguments)

    config = small()
    with monkeypatch.context() as patch:
        patch.setattr(SequenceModule, "training_step", fails)
        with pytest.raises(RunFailedError, match="failed: "):
            fit(config)
    status = read_run(only_run(config.out)).status
    assert (status["state"], status["cause"], status["step"]) == ("failed", cause, 12)
    assert said in status["error"]
    assert "Traceback" in status["traceback"]
    assert status["checkpoint"].endswith("last.ckpt")
    with pytest.raises(RunFailedError, match="left alone"):
        fit(small(machine=Machine(retry="none")))
    assert fit(config).state == "finished"


def test_torch_says_that_there_is_no_memory_as_we_know_it():
    with pytest.raises(RuntimeError) as raised:
        torch.empty(2**60)
    assert any(words in str(raised.value) for words in ("can't allocate memory", "not enough memory"))


def test_what_diverged_is_left_alone(small: Make):
    config = small(optimizer=SGD(lr=1e30), trainer={"clip_norm": None})
    for said in ("loss is", "It would diverge again"):
        with pytest.raises(RunFailedError, match=said):
            fit(config)
    with pytest.raises(RunFailedError, match="loss is"):
        fit(small(optimizer=SGD(lr=1e30), trainer={"clip_norm": None}, machine=Machine(retry="all")))
    assert read_run(only_run(config.out)).status["attempts"] == 2


@pytest.mark.slow
@pytest.mark.parametrize("left", [2_000, 40_000], ids=["for metrics", "for checkpoints"])
def test_a_full_disk(small: Make, disk: Path, monkeypatch: pytest.MonkeyPatch, left: int):
    """The checkpoint that was there stays whole, the run says why it failed, and goes on when there is space."""
    whole, config = fit(small("whole")), small("disk/runs", machine=BETWEEN)
    original = SequenceModule.training_step

    def filled(self: SequenceModule, *arguments: Any) -> Any:
        if self.global_step == 11 and not (disk / "filling").exists():
            statistics = os.statvfs(disk)
            (disk / "filling").write_bytes(bytes(max(0, statistics.f_bavail * statistics.f_bsize - left)))
        return original(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(SequenceModule, "training_step", filled)
        with pytest.raises(RunFailedError, match="The disk is full"):
            fit(config)
    path = only_run(config.out)
    status = read_run(path).status
    assert (status["state"], status["cause"]) == ("failed", "disk")
    assert checkpoints.damage(path / "checkpoints" / "last.ckpt") is None
    with pytest.raises((RunFailedError, UserError), match=r"The disk is full|Free some space"):
        fit(config)  # and again: nothing gets worse
    (disk / "filling").unlink()
    assert_same(fit(config), whole)


@pytest.mark.slow
def test_a_folder_that_cannot_be_written_to(small: Make, disk: Path, tmp_path: Path):
    (disk / "runs").mkdir()
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    for out in ("disk/runs", "disk/new/runs"):
        with pytest.raises(UserError, match=r"cannot be written to: Read-only file system\. Give another folder"):
            fit(small(out))
    assert [path.name for path in disk.rglob("*")] == ["runs"]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize(
    ("step", "place"),
    [(0, "training_step"), (13, "training_step"), (10, "_evaluate"), (20, "_evaluate"), (20, "on_test_epoch_end")],
)
def test_a_signal_at_any_moment(small: Make, monkeypatch: pytest.MonkeyPatch, number: int, step: int, place: str):
    """The run is preempted, whatever Lightning would make of the signal, and goes on."""
    config = small(machine=BETWEEN)
    with monkeypatch.context() as patch:
        cut_at(patch, step, place, lambda: os.kill(os.getpid(), number))
        with pytest.raises(Stopped) as stopped:
            fit(config)
    assert stopped.value.number == number
    (run,), _ = find_runs([config.out])
    assert run.state == "preempted"
    assert "resumes from the last checkpoint" in run.status["error"]
    assert fit(config).status["attempts"] == 2


REFUSED = {"WANDB_API_KEY": "x" * 40, "WANDB_MODE": "online"}


@pytest.fixture
def refusing() -> Iterator[str]:
    """The address of a server that knows nobody."""

    class Refusing(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            body = b'{"errors": [{"message": "user is not logged in"}]}'
            self.send_response(401)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST  # noqa: N815 - http.server's name

        def log_message(self, *_: object) -> None:  # type: ignore[override]
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["killed", "no network", "login refused"])
def test_wandb_never_ends_a_run(small: Make, tmp_path: Path, refusing: str, fault: str):
    """It goes on with its own files, W&B's offline where they can be made, and says so once."""
    whole, config = fit(small("whole")), small("wandb", logger=Logger(name="wandb"))
    own = {"HOME": str(tmp_path), "NETRC": str(tmp_path / "netrc"), "WANDB_MODE": "offline", "WANDB_API_KEY": ""}
    if fault != "killed":
        own |= REFUSED | {"WANDB_BASE_URL": refusing if fault == "login refused" else "http://127.0.0.1:9"}
    process = start(train_with_wandb, config, tmp_path / "log", fault == "killed", own)
    process.join(240)
    assert process.exitcode == 0
    run = read_run(only_run(config.out))
    assert_same(run, whole)
    (said,) = (tmp_path / "log").read_text().splitlines()
    assert said.startswith("W&B is no longer used for this run" if fault == "killed" else "W&B cannot be reached (")
    assert len(list(run.path.glob("wandb/offline-run-*/*.wandb"))) == 1


@pytest.mark.slow
def test_a_plugin_that_vanished(small: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    plugin = tmp_path / "own.py"
    plugin.write_text(
        "from dataclasses import dataclass\nfrom gatelab.cells.lstm import LSTM\n\n"
        '@dataclass(frozen=True)\nclass Own(LSTM):\n    """Of a user."""\n'
    )
    monkeypatch.setattr(CELLS, "_added", dict(CELLS._added))
    config = small(cell={"name": "own"}, plugins=[str(plugin)], machine=BETWEEN)
    cut(config)
    text = plugin.read_text()
    plugin.unlink()
    with pytest.raises(UserError, match=r"own\.py' was not found; there is no file .* Give the path"):
        fit(config)
    plugin.write_text(text)
    assert fit(config).status["attempts"] == 2
