"""Names to classes: what is there, users' files, installed packages."""

import dataclasses
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from gatelab.cells import CELLS, Cell
from gatelab.errors import UserError, unknown
from gatelab.models import RNN
from gatelab.registry import Registry
from gatelab.registry.plugins import load_plugin
from gatelab.tasks import TASKS, Task

REGISTRIES: tuple[Registry[Any], ...] = (CELLS, TASKS)
ENTRIES = [pytest.param(registry, name, id=f"{registry.kind}-{name}") for registry in REGISTRIES for name in registry.names()]

CELL = """
@dataclass(frozen=True)
class Damped(Cell):
    'A damped unit.'

    gates = {"z": "block_input"}
    leak: float = option(0.5, "fraction that is kept", minimum=0.0, maximum=1.0)

    def step(self, a, s, p):
        return {"h": self.leak * s.h + (1 - self.leak) * torch.tanh(a.z)}, {}
"""
TASK = """
@dataclass(frozen=True)
class Longer(Adding):
    'Adding, but longer.'

    length: int = option(300, "T, steps of a sequence", minimum=2)
"""
HEAD = """
from dataclasses import dataclass
import torch
from gatelab import Cell, option
from gatelab.tasks.adding import Adding
"""


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """No test leaves an entry, a module or a folder to import from behind."""
    added = [dict(registry._added) for registry in REGISTRIES]
    modules, path = set(sys.modules), list(sys.path)
    yield
    for registry, entries in zip(REGISTRIES, added, strict=True):
        registry._added.clear()
        registry._added.update(entries)
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if name.startswith(("gatelab_plugin_", "offered")):
            del sys.modules[name]


def write(path: Path, text: str) -> Path:
    path.write_text(HEAD + text)
    return path


# Names.


@pytest.mark.parametrize(("registry", "name"), ENTRIES)
def test_every_name_is_a_class(registry: Registry[Any], name: str) -> None:
    cls = registry.get(name)
    assert name in registry
    assert issubclass(cls, registry.base)
    assert dataclasses.is_dataclass(cls)
    assert registry.name_of(cls) == name
    assert registry.build(name) == cls()


@pytest.mark.parametrize("registry", REGISTRIES, ids=lambda registry: registry.kind)
def test_names_are_sorted_and_public(registry: Registry[Any]) -> None:
    names = registry.names()
    assert names == sorted(set(names))
    assert not any(name.startswith("_") for name in names)
    assert "_cell" not in registry


def test_unknown_names_the_nearest_and_all() -> None:
    assert unknown("fruit", "aple", ["pear", "apple"]) == "Unknown fruit 'aple'. Did you mean 'apple'? Available: apple, pear."
    assert unknown("fruit", "zzz", ["pear", "apple"]) == "Unknown fruit 'zzz'. Available: apple, pear."
    assert unknown("fruit", "zzz", []) == "Unknown fruit 'zzz'. Available: none."


@pytest.mark.parametrize(("registry", "name"), ENTRIES)
def test_a_slip_of_the_finger_is_understood(registry: Registry[Any], name: str) -> None:
    for call in (registry.get, registry.build):
        with pytest.raises(
            UserError, match=rf"^Unknown {registry.kind} '{name}x'\. Did you mean '{name}'\? Available: .*\b{name}\b"
        ):
            call(name + "x")
    assert name + "x" not in registry


@pytest.mark.parametrize(("registry", "name"), ENTRIES)
def test_an_unknown_option_is_refused(registry: Registry[Any], name: str) -> None:
    with pytest.raises(UserError, match=rf"^Unknown option of {registry.kind} '{name}' 'nonsense'\. .*Available: "):
        registry.build(name, nonsense=1)


def test_a_file_defines_exactly_one(tmp_path: Path) -> None:
    """Of a scanned folder, too: here one with files that hold none, one and two."""
    folder = tmp_path / "offered_cells"
    folder.mkdir()
    (folder / "__init__.py").touch()
    write(folder / "none.py", "")
    write(folder / "one.py", CELL)
    write(folder / "two.py", CELL + CELL.replace("Damped", "Leakier"))
    write(folder / "_hidden.py", CELL)
    sys.path.insert(0, str(tmp_path))
    registry = Registry("cell", "offered_cells", Cell)
    assert registry.names() == ["none", "one", "two"]
    assert registry.name_of(registry.get("one")) == "one"
    for name, count in (("none", 0), ("two", 2)):
        with pytest.raises(UserError, match=rf"{name}\.py must define exactly one cell, but it defines {count}\."):
            registry.get(name)


# Users' own files.


def test_a_cell_of_a_file(tmp_path: Path) -> None:
    file = write(tmp_path / "damped.py", CELL)
    assert load_plugin(file, REGISTRIES).sources == {"damped.py": file.read_bytes()}
    assert "damped" in CELLS
    assert "damped" not in TASKS
    assert CELLS.name_of(CELLS.get("damped")) == "damped"
    rnn = RNN("damped", 2, 3, leak=0.25)
    assert rnn.cell_name == RNN(CELLS.build("damped"), 2, 3).cell_name == "damped"
    x = torch.randn(1, 2, generator=torch.Generator().manual_seed(0))
    layer = rnn.layers["0"]
    torch.testing.assert_close(rnn(x)[0], 0.75 * torch.tanh(x @ layer.W.T))  # type: ignore[operator, union-attr]
    with pytest.raises(UserError, match="Did you mean 'damped'"):
        CELLS.get("dampped")
    with pytest.raises(UserError, match=r"'leak' is 2\.0, but it must be at most 1\.0"):
        CELLS.build("damped", leak=2.0)


def test_a_task_of_a_file(tmp_path: Path) -> None:
    load_plugin(str(write(tmp_path / "longer.py", TASK)), REGISTRIES)
    assert "longer" not in CELLS
    task = TASKS.build("longer")
    assert isinstance(task, Task)
    assert dataclasses.asdict(task) == {"length": 300}


def test_both_in_one_file(tmp_path: Path) -> None:
    load_plugin(write(tmp_path / "pair.py", CELL + TASK), REGISTRIES)
    assert CELLS.get("pair").__name__ == "Damped"
    assert TASKS.get("pair").__name__ == "Longer"


def test_future_annotations(tmp_path: Path) -> None:
    file = tmp_path / "damped.py"
    file.write_text("from __future__ import annotations\n" + HEAD + CELL)
    load_plugin(file, REGISTRIES)
    with pytest.raises(UserError, match="must be of type float"):
        CELLS.build("damped", leak="half")


def test_loading_twice_replaces(tmp_path: Path) -> None:
    """A run in the process of its command line loads each file twice; an edited file is another file."""
    file = write(tmp_path / "damped.py", CELL)
    first, cls = load_plugin(file, REGISTRIES), CELLS.get("damped")
    assert load_plugin(file, REGISTRIES) == first
    assert CELLS.get("damped") is cls  # what did not change is not executed again
    write(file, CELL.replace("0.5", "0.75"))
    assert load_plugin(file, REGISTRIES).digest != first.digest
    assert CELLS.build("damped").leak == 0.75  # type: ignore[attr-defined]
    assert CELLS.names().count("damped") == 1


def test_the_same_name_from_another_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    load_plugin(write(tmp_path / "damped.py", CELL), REGISTRIES)
    with pytest.raises(UserError, match=r"other/damped\.py would replace the cell 'damped', which '/.*/damped\.py' defines\. Give"):
        load_plugin(write(tmp_path / "other" / "damped.py", CELL.replace("0.5", "0.75")), REGISTRIES)
    assert CELLS.build("damped").leak == 0.5  # type: ignore[attr-defined]


@pytest.mark.parametrize(("registry", "name"), ENTRIES)
def test_a_built_in_name_is_refused(registry: Registry[Any], name: str, tmp_path: Path) -> None:
    before = registry.get(name)
    with pytest.raises(UserError, match=f"would replace the {registry.kind} '{name}', which exists already. Give the file another"):
        load_plugin(write(tmp_path / f"{name}.py", CELL if registry is CELLS else TASK), REGISTRIES)
    assert registry.get(name) is before


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"defines neither: it must define a cell \(a subclass of Cell\) or a task \(a subclass of Task\)"),
        ("from gatelab.cells.lstm import LSTM", "defines neither"),
        (CELL + CELL.replace("Damped", "Leakier"), "must define one cell, but it defines 2"),
        ("def (", r"cannot be imported: SyntaxError: invalid syntax \(wrong\.py, line 6\)$"),
        ("x = 1\n  y = 2", r"cannot be imported: IndentationError: unexpected indent \(wrong\.py, line 7\)$"),
        ("x = " + "(" * 300 + ")" * 300, r"cannot be imported: \w+Error: too many nested parentheses \(wrong\.py, line 6\)$"),
        ("x = '\0'", "cannot be imported: "),
        ("import no_such_module", r"cannot be imported: ModuleNotFoundError: No module named '.*' \(wrong\.py, line 6\)$"),
        ("1 / 0", r"cannot be imported: ZeroDivisionError: division by zero \(wrong\.py, line 6\)$"),
        ("raise ValueError", r"cannot be imported: ValueError \(wrong\.py, line 6\)$"),
        ("def f(): f()\nf()", r"cannot be imported: RecursionError: maximum recursion depth.* \(wrong\.py, line 6\)$"),
        ("class End(BaseException): ...\nraise End('a\\nb')", r"cannot be imported: End: a b \(wrong\.py, line 7\)$"),
        (
            "import sys\nsys.exit(7)",
            r"ends the program when it is imported: sys\.exit\(7\) \(wrong\.py, line 7\)\. Remove the call",
        ),
        ("raise SystemExit", r"ends the program when it is imported: sys\.exit\(None\) \(wrong\.py, line 6\)\. Remove"),
        (CELL.replace("(frozen=True)", ""), "cannot be imported: TypeError: cannot inherit non-frozen dataclass"),
    ],
)
def test_a_file_that_does_not_fit(text: str, message: str, tmp_path: Path) -> None:
    file = write(tmp_path / "wrong.py", text)
    before = CELLS.names(), TASKS.names()
    with pytest.raises(UserError, match=rf"^plugins: '{file}' {message}"):
        load_plugin(file, REGISTRIES)
    assert (CELLS.names(), TASKS.names()) == before
    if "cannot be imported" in message:
        assert not [name for name in sys.modules if name.endswith(".wrong")]


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("missing.py", r"was not found; there is no file '/.*/missing\.py'\."),
        ("dampd.py", r"was not found; .* Did you mean 'damped\.py'\?"),
        (".", r"is not a Python file\."),
        ("notes.txt", r"is not a Python file\."),
        ("folder.py", r"is not a Python file\."),
    ],
)
def test_what_is_not_a_python_file(name: str, what: str, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    (tmp_path / "folder.py").mkdir()
    write(tmp_path / "damped.py", CELL)
    with pytest.raises(UserError, match=rf"^plugins: '.*' {what} Give the path of a \.py file that defines a cell or a task\.$"):
        load_plugin(tmp_path / name, REGISTRIES)


@pytest.mark.parametrize("name", ["my cell.py", "my.cell.py", "a=b.py"])
def test_a_name_that_a_cell_cannot_have(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has a name that a cell or task cannot have"):
        load_plugin(write(tmp_path / name, CELL), REGISTRIES)


def test_a_link_has_the_name_that_it_was_given(tmp_path: Path) -> None:
    write(tmp_path / "version3.py", CELL)
    (tmp_path / "damped.py").symlink_to("version3.py")
    assert load_plugin(tmp_path / "damped.py", REGISTRIES).path == tmp_path / "damped.py"
    assert "damped" in CELLS
    assert "version3" not in CELLS
    (tmp_path / "linked").symlink_to(tmp_path)
    load_plugin(tmp_path / "linked" / "damped.py", REGISTRIES)  # the same file by another path is not another cell


def test_a_path_may_be_relative_or_from_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "damped.py", CELL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load_plugin("damped.py", REGISTRIES) == load_plugin("~/damped.py", REGISTRIES)


def test_a_class_without_decorator_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="must be a dataclass"):
        load_plugin(write(tmp_path / "damped.py", CELL.replace("@dataclass(frozen=True)", "")), REGISTRIES)


def test_a_private_base_and_a_second_name_are_no_entries(tmp_path: Path) -> None:
    derived = "\n@dataclass(frozen=True)\nclass Damped(_Base):\n    'Derived.'\n\nAlias = Damped\n"
    load_plugin(write(tmp_path / "damped.py", CELL.replace("Damped", "_Base") + derived), REGISTRIES)
    assert CELLS.get("damped").__name__ == "Damped"


# Installed packages.


def install(folder: Path, text: str, points: str) -> Registry[Cell]:
    """An installed package with that module and these entry points, and a registry that has not looked yet."""
    metadata = folder / "offered-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: offered\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[gatelab.cells]\n{points}\n")
    write(folder / "offered.py", text)
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    return Registry("cell", "gatelab.cells", Cell)


def test_an_installed_package_offers_cells(tmp_path: Path) -> None:
    registry = install(tmp_path, CELL, "theirs = offered:Damped")
    assert set(registry.names()) == {*CELLS.names(), "theirs"}
    assert registry.get("theirs").__module__ == "offered"
    assert registry.build("theirs", leak=0.25).leak == 0.25  # type: ignore[attr-defined]
    with pytest.raises(UserError, match="Did you mean 'theirs'"):
        registry.get("their")
    with pytest.raises(UserError, match="would replace the cell 'theirs'"):
        registry.add("theirs", registry.get("theirs"), "a file")


def test_an_installed_package_that_offers_something_else(tmp_path: Path) -> None:
    registry = install(tmp_path, "Number = 3", "theirs = offered:Number")
    with pytest.raises(UserError, match="entry point 'theirs' is not a cell: it must be a dataclass derived from Cell"):
        registry.get("theirs")


@pytest.mark.parametrize(
    ("text", "message"), [("import no_such_module", "no_such_module"), ("raise SystemExit(7)", "SystemExit: 7")]
)
def test_an_installed_package_that_is_broken(text: str, message: str, tmp_path: Path) -> None:
    registry = install(tmp_path, text, "theirs = offered:Damped")
    with pytest.raises(UserError, match=rf"entry point 'theirs' cannot be imported: .*{message}"):
        registry.get("theirs")


def test_name_of_an_installed_cell(tmp_path: Path) -> None:
    registry = install(tmp_path, CELL, "theirs = offered:Damped")
    assert registry.name_of(registry.get("theirs")) == "theirs"


def test_an_installed_package_does_not_replace_a_built_in(tmp_path: Path) -> None:
    built_in = CELLS.get("lstm")
    assert install(tmp_path, CELL, "lstm = offered:Damped").get("lstm") is built_in
