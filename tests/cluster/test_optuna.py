"""One search by two processes, as on two machines: on PostgreSQL, on SQLite and on a journal file. Nothing is mocked but training.

PostgreSQL is Debian's, as a server of its own on a free port of the loopback, with a password.
"""

import contextlib
import glob
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from searching import TINY

from gatelab.runs import find_runs

SEARCHER = Path(__file__).parent / "searcher.py"
PASSWORD = "geheim-7391"
LR = "optimizer.lr=tag(log, interval(1e-4, 1e-1))"


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    """The URL of an empty database, with its password."""
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin"))
    assert found, "PostgreSQL is needed: apt-get install postgresql"
    folder = Path(tempfile.mkdtemp(prefix="gatelab-postgres-"))
    secret = folder / "password"
    secret.write_text(PASSWORD)
    user = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []  # it refuses to run as root
    if user:
        for path in (folder, secret):
            shutil.chown(path, "postgres")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def call(program: str, *arguments: str) -> None:
        command = [*user, f"{found[-1]}/{program}", *arguments]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    data, log = str(folder / "data"), str(folder / "log")
    call("initdb", "-D", data, "-U", "gatelab", "-A", "scram-sha-256", f"--pwfile={secret}", "--no-sync")
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} -c fsync=off"
    call("pg_ctl", "-D", data, "-l", log, "-w", "-o", options, "start")
    try:
        yield f"postgresql://gatelab:{PASSWORD}@127.0.0.1:{port}/postgres"
    finally:
        call("pg_ctl", "-D", data, "-m", "immediate", "stop")
        shutil.rmtree(folder)


@pytest.fixture(params=["postgresql", "sqlite", "journal"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgresql":
        return request.getfixturevalue("postgres").replace(f":{PASSWORD}@", "@")
    return f"{request.param}:///{tmp_path}/study.{request.param}"


def test_two_processes_train_exactly_the_trials_and_none_twice(storage, tmp_path):
    """Each in its own folder, so that they share nothing but the storage."""
    given = [*TINY, "cell=rnn", "sweep=two", "hydra.sweeper.n_trials=12", "hydra.sweeper.n_jobs=2", LR]
    log = tmp_path / "log"
    processes = [
        subprocess.Popen(
            [sys.executable, SEARCHER, log, *given, f"out={tmp_path / name}", f"hydra.sweeper.storage={storage}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"PGPASSWORD": PASSWORD, "OMP_NUM_THREADS": "1"},
        )
        for name in ("here", "there")
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n", process.communicate()[1]
    for process in processes:  # both at once
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    ends = [process.communicate(timeout=300) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], ends
    trained = [line.split() for line in log.read_text().splitlines()]
    names = Counter(name for _, name in trained)
    assert len(names) == len(trained) == 12
    assert {int(pid) for pid, _ in trained} == {process.pid for process in processes}


def test_a_search_with_a_password_survives_a_kill(postgres, tmp_path):
    """Real runs: one of two commands is killed, the other takes over its trials; the password is in no file."""
    given = ["train", "-m", "hydra/sweeper=optuna", f"hydra.sweeper.storage={postgres}", "hydra.sweeper.n_trials=6", LR]
    given += [*TINY, "trainer.max_steps=150", "trainer.val_every=50", "trainer.patience=null", "cell=rnn", "sweep=killed"]
    given += ["hydra.sweeper.n_jobs=2", "hydra.launcher.n_jobs=2", f"out={tmp_path / 'runs'}"]
    command = [sys.executable, "-m", "gatelab.cli.main", *given]
    first, second = (subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) for _ in range(2))
    deadline = time.monotonic() + 240
    while not list(tmp_path.glob("runs/*/checkpoints/last.ckpt")) and time.monotonic() < deadline:
        time.sleep(0.05)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(first.pid, signal.SIGKILL)
    first.communicate()
    _, said = second.communicate(timeout=300)
    assert "Traceback" not in said, said
    again = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert again.returncode == 0, again.stderr
    assert "6 complete" in again.stdout, again.stdout
    runs, skipped = find_runs([tmp_path / "runs"])
    assert not skipped
    assert [run.state for run in runs] == ["finished"] * 6
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or PASSWORD.encode() not in path.read_bytes(), path
    assert PASSWORD not in said + again.stdout + again.stderr


def test_a_wrong_password_and_a_missing_database_end_before_the_first_run(postgres, tmp_path):
    for url, reason in ((postgres.replace("7391", "falsch"), "password authentication failed"), (f"{postgres}x", "does not exist")):
        given = ["train", "-m", "hydra/sweeper=optuna", f"hydra.sweeper.storage={url}", LR, *TINY, f"out={tmp_path / 'runs'}"]
        done = subprocess.run([sys.executable, "-m", "gatelab.cli.main", *given], capture_output=True, text=True, timeout=120)
        assert done.returncode == 2, done.stderr
        assert reason in done.stderr
        assert "Traceback" not in done.stderr
        assert "geheim" not in done.stderr
        assert not list(tmp_path.glob("runs/rnn*"))
