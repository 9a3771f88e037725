"""No process that gatelab starts imports modules from the folder that it is called in, and none outlives its launcher."""

import ast
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import gatelab

pytestmark = pytest.mark.skipif(os.name != "posix", reason="a server that forks")
HOSTILE = "import pathlib\npathlib.Path(__file__).with_suffix('.ran').touch()\nraise SystemExit('hostile')\n"
NAMES = ("statistics", "random", "selectors", "torch", "hydra", "numpy", "logging", "lightning")
SECONDS = 120.0


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A folder with files that are called as modules of others are."""
    folder = tmp_path / "hostile"
    folder.mkdir()
    for name in NAMES:
        (folder / f"{name}.py").write_text(HOSTILE)
    return folder


def ran(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.ran"))


def python(script: str, folder: Path, **environment: str) -> "subprocess.Popen[str]":
    """An interpreter like that of the console script `gatelab`: the folder of the script is on its path, the current one is not."""
    file = folder.with_name(f"{folder.name}-script") / "script.py"
    file.parent.mkdir(exist_ok=True)
    file.write_text(script)
    command = [sys.executable, str(file)]
    return subprocess.Popen(
        command, cwd=folder, env=os.environ | environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def wait_until(what: Callable[[], object]) -> None:
    deadline = time.monotonic() + SECONDS
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


POOL = """
import os
from gatelab.sweeps.jobs.needs import Needs
from gatelab.sweeps.launch.pool import Pool

def work():
    import statistics
    return statistics.__file__, os.environ.get("PYTHONSAFEPATH"), os.environ.get("GATELAB_LAUNCHER"), os.getcwd()

(end,) = Pool(["statistics", "logging"], Needs()).run(work, [()], [Needs()])
print(*end.result)
"""


@pytest.mark.slow
def test_jobs_of_a_sweep_and_their_server(hostile: Path):
    process = python(POOL, hostile)
    out, err = process.communicate(timeout=SECONDS)
    file, *environment, folder = out.split()
    assert process.returncode == 0, err
    assert file.startswith(sys.base_prefix)
    assert environment == ["None", "None"]  # a job has the environment of its command
    assert folder == str(hostile)
    assert not ran(hostile)


@pytest.mark.slow
def test_a_whole_sweep(hostile: Path):
    tiny = ["cell=rnn", "task=adding", "task.length=4", "model.hidden_size=2", "trainer.max_steps=1", "logger=none", "seed=0"]
    program = str(Path(sys.executable).parent / "gatelab")
    done = subprocess.run([program, "train", "-m", *tiny], cwd=hostile, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert not ran(hostile)


@pytest.mark.slow
def test_python_m(hostile: Path):
    """Python itself looks for `gatelab` and what its own `-m` needs in the current folder; from there on gatelab does not."""
    for name in ("logging", "random", "selectors", "statistics"):  # of these Python may need some before
        (hostile / f"{name}.py").unlink()
    done = subprocess.run([sys.executable, "-m", "gatelab", "list", "cells"], cwd=hostile, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not ran(hostile)


def test_every_interpreter_that_is_started_is_told_so():
    """Wherever a command begins with the interpreter, `-P` comes next."""
    seen = 0
    for file in Path(gatelab.__file__).parent.rglob("*.py"):
        text = file.read_text()
        for node in ast.walk(ast.parse(text)) if "sys.executable" in text else ():
            if isinstance(node, (ast.List, ast.Tuple)) and node.elts and ast.unparse(node.elts[0]) == "sys.executable":
                assert ast.unparse(node.elts[1]) == "'-P'", f"{file}:{node.lineno}"
                seen += 1
    assert seen >= 2  # the worker of the benchmarks, and the try to join Ray


SLOW_SERVER = """
import time
from multiprocessing import forkserver
from gatelab.sweeps.launch.pool import start_server

start_server(["slow_to_import"])
print(forkserver._forkserver._forkserver_pid, flush=True)
time.sleep(600)
"""


@pytest.fixture
def launcher(tmp_path: Path) -> Iterator[Callable[[str], "subprocess.Popen[str]"]]:
    started = []

    def start(script: str) -> "subprocess.Popen[str]":
        started.append(python(script, tmp_path, PYTHONPATH=str(tmp_path)))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.slow
def test_the_server_ends_with_its_launcher_while_it_imports(launcher, tmp_path: Path):
    importing = tmp_path / "importing"
    (tmp_path / "slow_to_import.py").write_text(
        f"import pathlib, time\npathlib.Path({str(importing)!r}).touch()\ntime.sleep(600)\n"
    )
    process = launcher(SLOW_SERVER)
    assert process.stdout is not None
    server = int(process.stdout.readline())
    try:
        wait_until(importing.exists)
        assert not gone(server)
        process.kill()
        wait_until(lambda: gone(server))
    finally:
        if not gone(server):
            os.kill(server, signal.SIGKILL)


CUT_OFF = """
import os, pickle
from multiprocessing import forkserver
from gatelab.sweeps.launch.pool import start_server

start_server([])
for content in (pickle.dumps(list(range(1000)))[:100], b""):
    sentinel, writer = forkserver.connect_to_new_process([])
    os.write(writer, content)
    os.close(writer)
    forkserver.read_signed(sentinel)
    forkserver.read_signed(sentinel)
"""


@pytest.mark.slow
def test_a_launcher_that_is_killed_while_it_starts_a_job_leaves_one_sentence(launcher):
    _, err = launcher(CUT_OFF).communicate(timeout=SECONDS)
    assert err.splitlines() == ["gatelab: the command was killed while it started a job, which ends, too."] * 2
