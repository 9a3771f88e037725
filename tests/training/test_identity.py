"""What a run is: the plugin that defines it, with what that imports, and its data; nothing else of the command."""

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pytest

from gatelab.cells import CELLS
from gatelab.config import Config, Model
from gatelab.errors import UserError
from gatelab.runs import ADDED, identity, with_added
from gatelab.sweeps.jobs import compose
from gatelab.sweeps.search.expand import compose_jobs
from gatelab.tasks import TASKS, file_hash
from gatelab.training.fit import fit
from gatelab.training.identity import identify, remembering

CELL = '''
from dataclasses import dataclass
from gatelab.cells.lstm import LSTM
from helper import scale

@dataclass(frozen=True)
class Mine(LSTM):
    """Mine."""

    def step(self, a, s, p):
        new, gates = super().step(a, s, p)
        return new | {"h": scale(new["h"])}, gates
'''
HELPER = "def scale(h):\n    return 0.5 * h\n"
TASK = '''
from dataclasses import dataclass
from pathlib import Path
from gatelab.tasks import file_hash
from gatelab.tasks.adding import Adding

FILE = Path(__file__).with_name("numbers.txt")

@dataclass(frozen=True)
class Sums(Adding):
    """Adding, whose numbers are in a file."""

    def data_hashes(self):
        return {FILE.name: file_hash(FILE)}
'''


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    before = CELLS.added(), TASKS.added()
    yield
    CELLS.restore(before[0])
    TASKS.restore(before[1])


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder with a cell `mine`, what it imports, a task `sums` and its data."""
    folder = tmp_path / "files"
    folder.mkdir()
    for name, text in {"mine.py": CELL, "helper.py": HELPER, "sums.py": TASK, "numbers.txt": "1 2 3"}.items():
        (folder / name).write_text(text)
    return folder


def run_id(config: Config) -> str:
    return identify(asdict(config)).run_id


def test_only_the_plugin_of_the_cell_or_the_task_counts(small: Callable[..., Config], files: Path):
    plain = small()
    assert run_id(plain) == identity(asdict(plain))
    assert run_id(small(plugins=[str(files / "mine.py")])) == run_id(plain)  # a finished run is not trained again
    (files / "broken.py").write_text("1 / 0")
    assert run_id(small(plugins=[str(files / "broken.py"), str(files / "mine.py")])) == run_id(plain)
    mine = small(cell={"name": "mine"}, plugins=[str(files / "mine.py")])
    both = small(cell={"name": "mine"}, plugins=[str(files / "broken.py"), str(files / "sums.py"), str(files / "mine.py")])
    assert run_id(mine) == run_id(both) != identity(asdict(mine))
    assert identify(asdict(both)).plugins.keys() == {"cell"}


def test_its_syntax_tree_counts_with_what_it_imports(small: Callable[..., Config], files: Path):
    config = small(cell={"name": "mine"}, plugins=[str(files / "mine.py")])
    first = run_id(config)
    (files / "mine.py").write_text("# A comment.\n" + CELL.replace("Mine.", "Mine, and better described."))
    (files / "helper.py").write_text(HELPER.replace("0.5 * h", "0.5 * h  # half of it"))
    assert run_id(config) == first
    (files / "helper.py").write_text(HELPER.replace("0.5", "0.25"))
    second = run_id(config)
    (files / "helper.py").write_text(HELPER)
    (files / "mine.py").write_text(CELL.replace('scale(new["h"])', 'scale(new["h"]) + 0'))
    third = run_id(config)
    assert len({first, second, third}) == 3
    (files / "mine.py").write_text(CELL)
    assert run_id(config) == first


def test_the_data_count(small: Callable[..., Config], files: Path):
    config = small(task={"name": "sums", "length": 8}, plugins=[str(files / "sums.py")])
    first = identify(asdict(config))
    assert first.data_hashes.keys() == {"numbers.txt"}
    (files / "numbers.txt").write_text("1 2 4")
    os.utime(files / "numbers.txt", ns=(1, 1))
    assert run_id(config) != first.run_id
    (files / "numbers.txt").write_text("1 2 3")
    os.utime(files / "numbers.txt", ns=(2, 2))
    assert run_id(config) == first.run_id
    (files / "numbers.txt").unlink()
    with pytest.raises(UserError, match=r"numbers\.txt' cannot be read: No such file"):
        run_id(config)


@pytest.mark.parametrize("name", ["plain", "a b", "a,b", "it's", "ü", "a[b]", "{}", "a=b", "back\\slash", "end\\"])
def test_any_folder_can_be_given_to_hydra(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / name)
    (argument,) = compose.with_absolute_plugins(["++plugins=[mine.py,sub/other.py]"])
    assert argument.startswith("++plugins=[")
    (override,) = compose.parse([argument])
    assert compose.plugins_of(override) == [str(tmp_path / name / "mine.py"), str(tmp_path / name / "sub" / "other.py")]


@pytest.mark.parametrize("text", ["return 1 / 0", "return None", "return {'a'}"])
def test_a_task_that_cannot_hash_its_data_is_named(text: str, small: Callable[..., Config], files: Path):
    (files / "sums.py").write_text(TASK.replace("return {FILE.name: file_hash(FILE)}", text))
    with pytest.raises(UserError, match=r"^Task 'sums': data_hashes\(\) must return the SHA-256 of every data file by name"):
        run_id(small(task={"name": "sums", "length": 8}, plugins=[str(files / "sums.py")]))


def test_the_cell_that_others_are_made_as_large_as_counts(small: Callable[..., Config], files: Path):
    """Of the cell in `match_to` the number of parameters decides the size of the model."""
    matched = small(model=Model(hidden_size=8, match="parameters", match_to="mine"), plugins=[str(files / "mine.py")])
    first = run_id(matched)
    (files / "helper.py").write_text(HELPER.replace("0.5", "0.25"))
    assert run_id(matched) != first
    unmatched = small(model=Model(hidden_size=8, match_to="mine"), plugins=[str(files / "mine.py")])
    assert run_id(unmatched) == identity(asdict(unmatched))


def test_what_comes_with_gatelab_keeps_its_identity(small: Callable[..., Config]):
    """Its data are fixed in its source. Runs of earlier versions are found again."""
    for name in TASKS.names():
        config = small(task={"name": name})
        assert run_id(config) == identity(asdict(config)), name


@pytest.mark.parametrize("name", CELLS.names())
def test_options_that_are_derived_count_only_away_from_their_default(name: str, small: Callable[..., Config]):
    """Runs of a version that did not derive them are found again, whether or not a configuration writes them down."""
    derived = [field.name for field in fields(CELLS.get(name)) if field.metadata.get("derived")]
    before = run_id(small(cell={"name": name}))
    assert before == identity(asdict(small(cell={"name": name})))
    whole = identify(asdict(small(cell={"name": name} | dict.fromkeys(derived, 0.0))))
    assert (whole.run_id, list(whole.left_out)) == (before, derived)
    others = {run_id(small(cell={"name": name, option: -1.0})) for option in derived}
    assert len({before, *others}) == 1 + len(derived)
    declared = [field.metadata["bias_of"] for field in fields(CELLS.get(name)) if "bias_of" in field.metadata]
    cell = CELLS.build(name)
    covered = declared or list(cell.initial_bias)  # an option may serve several, whose number is another option
    assert set(cell.biased_gates) <= set(covered)  # each has an option, derived or its own


def test_options_that_a_version_added_count_only_away_from_their_default(small: Callable[..., Config]):
    """Runs of the versions before are found again, and read as if they had them."""
    before = asdict(small())
    for group, defaults in ADDED.items():
        assert {name: before[group][name] for name in defaults} == defaults  # those of the configuration
        assert with_added({group: {}})[group] == defaults
        older = {**before, group: {name: value for name, value in before[group].items() if name not in defaults}}
        assert identity(older) == identity(before)
        for name, value in defaults.items():
            changed = {**before, group: before[group] | {name: not value if isinstance(value, bool) else 0.5}}
            assert identity(changed) != identity(before)


def test_the_command_line_and_training_agree(small: Callable[..., Config], files: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(files)
    monkeypatch.setenv("HOME", str(files))
    overrides = compose.parse(compose.with_absolute_plugins(["plugins=[sums.py, ~/mine.py]", "cell=mine", "task=sums", "seed=3"]))
    compose.load_plugins(overrides)
    compose.register_schemas()
    (job,) = compose_jobs(overrides, sweep=False)
    assert job.run_id == run_id(job.config)
    assert job.config.plugins == [str(files / "sums.py"), str(files / "mine.py")]


def test_files_are_read_once_for_all_jobs_of_a_command(small: Callable[..., Config], files: Path, monkeypatch: pytest.MonkeyPatch):
    read: list[Any] = []
    hashes = "gatelab.training.identity._data_hashes"
    monkeypatch.setattr(hashes, lambda options: read.append(options) or {"numbers.txt": "0"})
    with remembering():
        for seed in range(3):
            identify(asdict(small(task={"name": "sums", "length": 8}, seed=seed, plugins=[str(files / "sums.py")])))
    assert len(read) == 1
    identify(asdict(small(task={"name": "sums", "length": 8}, plugins=[str(files / "sums.py")])))
    assert len(read) == 2


def test_hashes_of_files_follow_size_and_time(tmp_path: Path):
    file = tmp_path / "data"
    file.write_bytes(b"abc")
    assert file_hash(file) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    file.write_bytes(b"abcd")
    assert file_hash(str(file)) == "88d4266fd4e6338d13b845fcf289579d209c897823b9217da3e161936f031589"
    with pytest.raises(UserError, match="cannot be read: Is a directory"):
        file_hash(tmp_path)


def test_paths_are_absolute(small: Callable[..., Config], files: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(files.parent)
    monkeypatch.setenv("HOME", str(files))
    assert small(plugins=["files/mine.py", "~/mine.py", "files/../files/mine.py"]).plugins == [str(files / "mine.py")] * 3
    with pytest.raises(UserError, match=r"'plugins' is 'mine\.py', but it must be a list"):
        small(plugins="mine.py")


@pytest.mark.slow
def test_the_source_is_kept_in_the_run_directory(small: Callable[..., Config], files: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(files)
    names = {"cell": {"name": "mine"}, "task": {"name": "sums", "length": 8}}
    run = fit(small(trainer={"max_steps": 2}, plugins=["mine.py", "sums.py"], **names))
    kept = {str(path.relative_to(run.path)): path.read_text() for path in (run.path / "plugins").rglob("*") if path.is_file()}
    assert kept == {"plugins/cell/mine.py": CELL, "plugins/cell/helper.py": HELPER, "plugins/task/sums.py": TASK}
    origin = json.loads((run.path / "provenance.json").read_text())
    assert {role: plugin["path"] for role, plugin in origin["plugins"].items()} == {
        "cell": str(files / "mine.py"),
        "task": str(files / "sums.py"),
    }
    assert origin["data_sha256"] == {"numbers.txt": file_hash(files / "numbers.txt")}
    assert run.config["plugins"] == [str(files / "mine.py"), str(files / "sums.py")]
    assert run.path.name.rpartition("-")[2] == identify(run.config).run_id
