"""The cache of kernels: taken from when it can be trusted, mended when it cannot, done without when there is none."""

import hashlib
import json
import os
import re
import time
from pathlib import Path

import pooch
import pytest
from kernels.processes import LOAD, Said, library, run, start

from gatelab.kernels.cpu import build
from gatelab.runs import lock

READ_ONLY = """
def refuse(*given, dir=None, **named):
    if dir and str(dir).startswith(os.environ["GATELAB_CACHE"]):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))
    return temporary(*given, dir=dir, **named)
temporary, tempfile.TemporaryDirectory = tempfile.TemporaryDirectory, refuse
"""


def test_compiled_once_then_taken_from_the_cache(cache, wrap):
    compilations = wrap()
    assert run() == run() == Said("42", "")
    assert compilations() == 1
    assert re.fullmatch(r"answer-[0-9a-f]{16}-[0-9a-f]{16}\.so", library(cache).name)
    assert [path.name for path in cache.iterdir()] == [library(cache).name]


@pytest.mark.slow
def test_in_one_process_it_is_read_once(cache):
    assert run("first = load(); build.clear(); print(first is load())").out == "True"
    assert list(cache.iterdir()) == []


@pytest.mark.slow
def test_the_library_carries_its_key(cache):
    code = "print(ctypes.string_at(ctypes.addressof(ctypes.c_char.in_dll(load(), 'gatelab_key'))).decode())"
    key = run(code).out
    assert len(key) == 64
    assert key[:16] == library(cache).name.split("-")[1]


@pytest.mark.slow
def test_twenty_processes_at_once(cache, wrap):
    # The first compilation waits for a second one, for a minute at most: none finds the file of another before it begins.
    wait = 'n=0; while [ "$(wc -l < "$LOG")" -lt 2 ] && [ $n -lt 600 ]; do sleep 0.1; n=$((n + 1)); done'
    compilations = wrap(f'case "$*" in *-shared*) {wait};; esac')
    processes = [start(f"print('ready', flush=True); sys.stdin.readline(); {LOAD}") for _ in range(20)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    assert [process.communicate(timeout=300) for process in processes] == [("42\n", "")] * 20
    assert compilations() > 1
    assert [path.name for path in cache.iterdir()] == [library(cache).name]


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def truncate_to_a_page(path: Path) -> None:
    os.truncate(path, 4096)  # the loader maps the rest as well; touching it kills the process


def empty(path: Path) -> None:
    os.truncate(path, 0)


def flip_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[content.index(b"gatelab_key")] ^= 1
    path.write_bytes(content)


def replace_by_a_foreign_library(path: Path) -> None:
    path.write_bytes(foreign(path))


def foreign(path: Path) -> bytes:
    """Another library of ours, from the cache of a machine elsewhere."""
    run(source="int answer(void) { return 7; }")
    [other] = set(path.parent.glob("*.so")) - {path}
    content = other.read_bytes()
    other.unlink()
    return content


def open_to_the_group(path: Path) -> None:
    path.chmod(0o770)


def open_to_all(path: Path) -> None:
    path.chmod(0o702)


def link_elsewhere(path: Path) -> None:
    elsewhere = path.parent.parent / "elsewhere.so"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)


def give_away(path: Path) -> None:
    if os.geteuid():
        pytest.skip("only root can give a file to another user")
    os.chown(path, 12345, -1)


DAMAGES = {
    truncate: "it is damaged",
    truncate_to_a_page: "it is damaged",
    empty: "it is damaged",
    flip_a_byte: "it is damaged",
    replace_by_a_foreign_library: "it is damaged",
    open_to_the_group: "users other than its owner may write it",
    open_to_all: "users other than its owner may write it",
    link_elsewhere: "it cannot be read",
    give_away: "it belongs to another user",
}


@pytest.mark.slow  # three processes and two compilations each
@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_what_cannot_be_trusted_is_compiled_again_and_replaced(damage, cache, wrap):
    compilations = wrap()
    run()
    damage(library(cache))
    before = compilations()
    out, err = run()
    assert out == "42"
    assert len(err.splitlines()) == 1
    assert DAMAGES[damage] in err
    assert str(cache) in err
    assert compilations() == before + 1
    assert run() == Said("42", "")
    assert compilations() == before + 1


@pytest.mark.slow
def test_a_whole_library_under_the_name_of_another_is_not_loaded(cache):
    run()
    path = library(cache)
    content = foreign(path)
    path.unlink()
    forged = path.with_name(f"{path.stem[:-16]}{hashlib.sha256(content).hexdigest()[:16]}.so")
    forged.write_bytes(content)
    forged.chmod(0o700)
    out, err = run()
    assert out == "42"
    assert "another library" in err
    assert library(cache) == path


@pytest.mark.slow
def test_a_folder_in_the_place_of_a_library(cache):
    run()
    path = library(cache)
    path.unlink()
    path.mkdir()
    out, err = run()
    assert out == "42"
    assert str(cache) in err


# The folder.


def group_writable(cache: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    cache.mkdir(parents=True)
    cache.chmod(0o770)
    return "chmod go-w"


def of_another_user(cache: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    cache.mkdir(parents=True)
    give_away(cache)
    return "another user"


def below_a_file(cache: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    cache.parent.write_text("a file")
    return "cannot be created"


def a_file(cache: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    cache.parent.mkdir()
    cache.write_text("a file")
    return "cannot be created"


def without_home(cache: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("GATELAB_CACHE", "~nobody-of-this-name/cache")
    monkeypatch.chdir(cache.parents[1])
    return "no home folder"


@pytest.mark.slow
@pytest.mark.parametrize(
    "spoil", [group_writable, of_another_user, below_a_file, a_file, without_home], ids=lambda spoil: spoil.__name__
)
def test_without_a_safe_folder_each_process_compiles_for_itself(spoil, cache, tmp_path, monkeypatch):
    reason = spoil(cache, monkeypatch)
    before = sorted(tmp_path.rglob("*"))
    out, err = run(f"{LOAD}; source = source.replace('42', '43'); {LOAD}")
    assert out == "42\n43"
    assert len(err.splitlines()) == 1  # said once
    assert reason in err
    assert sorted(tmp_path.rglob("*")) == before
    assert build.cache_problem() is not None


@pytest.mark.slow
def test_a_read_only_folder_serves_what_it_has(cache, wrap):
    compilations = wrap()
    run()
    assert run(READ_ONLY + LOAD) == Said("42", "")
    assert compilations() == 1
    out, err = run(READ_ONLY + LOAD, source="int answer(void) { return 43; }")
    assert out == "43"
    assert "Read-only file system" in err
    assert len(list(cache.iterdir())) == 1


@pytest.mark.slow
def test_a_full_disk(cache, wrap):
    wrap(f'case "$PWD $*" in {cache}*-shared*) echo "ld: final link failed: No space left on device" >&2; exit 1;; esac')
    out, err = run()
    assert out == "42"
    assert "No space left on device" in err
    assert list(cache.iterdir()) == []


@pytest.mark.slow
def test_nowhere_to_write(cache, tmp_path, monkeypatch):
    below_a_file(cache, monkeypatch)
    code = f"tempfile.tempdir = {str(tmp_path / 'nowhere')!r}; {LOAD}"
    out, _ = run(code)
    assert out.startswith("BuildError: ")
    assert "TMPDIR" in out


@pytest.mark.slow
def test_the_mode_does_not_depend_on_the_umask(cache):
    assert run(f"os.umask(0); {LOAD}") == Said("42", "")
    assert cache.stat().st_mode & 0o777 == library(cache).stat().st_mode & 0o777 == 0o700
    assert run() == Said("42", "")


def test_the_cache_lies_beside_the_data(monkeypatch, tmp_path):
    monkeypatch.delenv("GATELAB_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert build.cache_folder() == Path(pooch.os_cache("gatelab")) / "kernels"
    monkeypatch.setenv("GATELAB_CACHE", "here")
    monkeypatch.chdir(tmp_path)
    assert build.cache_folder() == tmp_path / "here" / "kernels"


@pytest.mark.slow
def test_clear_removes_what_is_ours_and_nothing_else(cache):
    run()
    run(source="no C")
    (cache / "build-broken_off").mkdir()
    (cache / "build-broken_off" / "answer.c").write_text("int")
    for name in ("notes.txt", "libother.so", "answer-1234.so"):
        (cache / name).write_text("mine")
    assert int(run("print(len(build.entries()))").out) == 4
    assert int(run("print(build.clear())").out) == 4  # the library, source and log of the failure, the rest of a compilation
    assert sorted(path.name for path in cache.iterdir()) == ["answer-1234.so", "libother.so", "notes.txt"]
    assert run("print(build.clear(), build.entries())").out == "0 []"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["../../a b/c", "/etc/x", "-o", "lstm.float32", "", "é" * 300, "x" * 300])
def test_names_stay_within_the_folder(name, cache):
    assert run(name=name) == Said("42", "")
    assert re.fullmatch(r"[A-Za-z0-9_]{1,64}-[0-9a-f]{16}-[0-9a-f]{16}\.so", library(cache).name)


def test_folders_of_compilations_that_were_killed_are_removed(tmp_path):
    """But not those of processes that are at work, or of which nothing is known."""
    old, here = time.time() - 2 * build._OLD_SECONDS, lock.this_process()
    left = {
        "killed": (here | {"pid": 2**22 + 1}, False, None),
        "another process has its number": (here | {"began": 1}, False, None),
        "at work": (here, True, None),
        "elsewhere": (here | {"host": "elsewhere", "boot": "x"}, True, None),
        "elsewhere and old": (here | {"host": "elsewhere", "boot": "x"}, False, old),
        "just begun": (None, True, None),
        "of an earlier version and old": (None, False, old),
    }
    for name, (record, _, modified) in left.items():
        folder = tmp_path / f"build-{name}"
        folder.mkdir()
        (folder / "answer.c").write_text("int")
        if record is not None:
            (folder / "owner.json").write_text(json.dumps(record))
        if modified is not None:
            os.utime(folder, (modified, modified))
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "build-link").symlink_to(tmp_path / "elsewhere")
    build._clear_abandoned(tmp_path)
    kept = {name for name, (_, stays, _) in left.items() if stays}
    assert {path.name.removeprefix("build-") for path in tmp_path.iterdir()} == kept | {"elsewhere", "link"}
    build._clear_abandoned(tmp_path / "absent")


@pytest.mark.slow
def test_a_killed_compilation_leaves_nothing_for_long(cache, wrap):
    wrap('case "$*" in *-shared*) sleep 30;; esac')
    process = start(LOAD)
    deadline = time.monotonic() + 60
    while not list(cache.glob("build-*/owner.json")):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.kill()
    process.communicate()
    assert list(cache.glob("build-*"))
    wrap()
    assert run() == Said("42", "")
    assert [path.name for path in cache.iterdir()] == [library(cache).name]
