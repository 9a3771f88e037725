"""What is written has the permissions that the user's umask leaves: neither more nor less."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from gatelab.runs.files import Lines, permissions, replacing, write_json, write_new_json
from gatelab.runs.sweep import write_plan
from gatelab.runs.writer import RunWriter, enqueue

CONFIG = {"cell": {"name": "lstm"}, "task": {"name": "adding"}, "seed": 0, "trainer": {"max_steps": 10}, "sweep": "s"}


@pytest.fixture(params=[0o022, 0o077, 0o002, 0o027], ids="{:03o}".format)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def test_every_file_and_folder(umask: int, tmp_path: Path):
    folder = tmp_path / "new"
    write_json(folder / "a.json", {})
    write_new_json(folder / "b.json", {})
    with replacing(folder / "last.ckpt") as temporary:
        temporary.write_bytes(b"0")
    Lines(folder / "metrics.jsonl").close()
    write_plan({folder / "run": CONFIG})
    enqueue(folder / "queued", CONFIG, "id")
    writer = RunWriter(folder / "run")
    writer.start(CONFIG, {}, "id")
    writer.close()
    found = [*folder.rglob("*")]
    assert {path.name for path in found} >= {"lock-1", "plan.json", "status.json", "last.ckpt"}
    for path in found:
        expected = (0o777 if path.is_dir() else 0o666) & ~umask
        assert stat.S_IMODE(path.stat().st_mode) == expected, path
    assert permissions(folder) == 0o666 & ~umask
    assert not [path for path in folder.rglob(".*") if path.is_file()]


def test_a_replaced_file_has_them_too(umask: int, tmp_path: Path):
    write_json(tmp_path / "status.json", {})
    (tmp_path / "status.json").chmod(0o666)
    write_json(tmp_path / "status.json", {})
    assert stat.S_IMODE((tmp_path / "status.json").stat().st_mode) == 0o666 & ~umask
