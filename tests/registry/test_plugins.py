"""Users' files: what they import beside them, and what of them tells one run from another."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gatelab.cells import CELLS
from gatelab.errors import UserError
from gatelab.registry.plugins import Plugin, load_plugin, loaded, only_for_now, read_plugin
from gatelab.tasks import TASKS

REGISTRIES: tuple[Any, ...] = (CELLS, TASKS)
CELL = '''
from dataclasses import dataclass
from gatelab import Cell, option
from gatelab.cells.lstm import LSTM

@dataclass(frozen=True)
class Mine(LSTM):
    """Mine."""

    scale: float = option(1.0, "a factor", minimum=0.0)
'''


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """No test leaves an entry behind."""
    before = [registry.added() for registry in REGISTRIES]
    yield
    for registry, entries in zip(REGISTRIES, before, strict=True):
        registry.restore(entries)


def write(folder: Path, **files: str) -> Path:
    """Files by name, `__` for a slash; the first one is returned."""
    for name, text in files.items():
        path = folder / f"{name.replace('__init__', '/@').replace('__', '/').replace('@', '__init__')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder / f"{next(iter(files))}.py"


def value(file: Path, name: str = "VALUE") -> Any:
    """What a plugin made of its imports."""
    load_plugin(file, REGISTRIES)
    return getattr(sys.modules[CELLS.get(file.stem).__module__], name)


# Modules beside a plugin.


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("import helper\nVALUE = helper.X", 3),
        ("import helper as h, math\nVALUE = h.X + math.floor(0.5)", 3),
        ("from helper import X as VALUE", 3),
        ("from helper import *\nVALUE = X", 3),
        ("from .helper import X as VALUE", 3),
        ("from . import helper\nVALUE = helper.X", 3),
        ("import layers.deep\nVALUE = layers.deep.Y + layers.Z", 15),
        ("import layers.deep as deep\nVALUE = deep.Y", 5),
        ("from layers import deep\nVALUE = deep.Y", 5),
        ("from layers.deep import Y as VALUE", 5),
        ("def later():\n    import helper\n    return helper.X\nVALUE = later()", 3),
        ("if True:\n    try:\n        import helper\n    except ImportError:\n        helper = None\nVALUE = helper.X", 3),
        ("try:\n    import absent\nexcept ImportError:\n    VALUE = 'absent'", "absent"),
    ],
)
def test_what_lies_beside_is_imported(text: str, expected: Any, tmp_path: Path) -> None:
    file = write(
        tmp_path,
        mine=CELL + text,
        helper="X = 3",
        layers__init__="from .deep import Y\nimport helper\nZ = 2 * Y",
        layers__deep="Y = 5",
        unused="raise SystemExit",
    )
    path = list(sys.path)
    assert value(file) == expected
    assert sys.path == path
    assert not {"helper", "layers", "layers.deep"} & sys.modules.keys()
    assert not list(tmp_path.rglob("__pycache__"))


def test_the_standard_library_and_installed_packages_win(tmp_path: Path) -> None:
    bad = "raise RuntimeError('shadowed')"
    text = "import statistics, numpy, torch\nfrom json import dumps\nVALUE = statistics.mean([1, 2]), numpy.pi, torch.pi, dumps([])"
    file = write(tmp_path, mine=CELL + text, statistics=bad, numpy=bad, torch=bad, json=bad, gatelab=bad)
    assert value(file) == (1.5, 3.141592653589793, 3.141592653589793, "[]")
    assert list(read_plugin(file).sources) == ["mine.py"]


def test_what_lies_in_the_current_folder_does_not_win(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`python -m gatelab` and `torchrun -m gatelab` have it in front of the path; a run is the same with and without."""
    file = write(tmp_path / "cells", mine=CELL + "import helper\nVALUE = helper.X", helper="X = 3")
    write(tmp_path, helper="X = 4")
    first = read_plugin(file)
    monkeypatch.chdir(tmp_path)
    for entry in ("", str(tmp_path)):
        with monkeypatch.context() as patch:
            patch.setattr(sys, "path", [entry, *sys.path])
            assert read_plugin(file) == first
            assert value(file) == 3
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])  # a development install: it is not here by chance
    assert list(read_plugin(file).sources) == ["mine.py"]


def test_modules_of_one_name_in_two_folders_are_two(tmp_path: Path) -> None:
    text = CELL + "import helper\ndef later():\n    import helper\n    return helper.X\nVALUE = helper.X"
    files = [write(tmp_path / name, **{name: text, "helper": f"X = '{name}'"}) for name in ("first", "second")]
    assert [value(file) for file in files] == ["first", "second"]
    assert [value(file, "later")() for file in files] == ["first", "second"]


def test_modules_that_import_each_other(tmp_path: Path) -> None:
    one, other = "import b\nX = 3\ndef f(): return b.g()", "import a\ndef g(): return a.X"
    file = write(tmp_path, mine=CELL + "import a\nVALUE = a.f()", a=one, b=other)
    assert value(file) == 3


def test_a_base_class_beside_it_is_not_an_entry(tmp_path: Path) -> None:
    file = write(tmp_path, mine=CELL.replace("gatelab.cells.lstm import LSTM", "base import Mine as LSTM"), base=CELL)
    load_plugin(file, REGISTRIES)
    assert CELLS.build("mine").scale == 1.0  # type: ignore[attr-defined]
    assert "base" not in CELLS


def test_a_mistake_beside_it_is_named(tmp_path: Path) -> None:
    for helper, what in (
        ("def (", r"SyntaxError: invalid syntax \(helper\.py, line 1\)"),
        ("x = 1\n1 / 0", r"ZeroDivisionError: division by zero \(helper\.py, line 2\)"),
        ("import absent", r"ModuleNotFoundError: No module named 'absent' \(helper\.py, line 1\)"),
    ):
        file = write(tmp_path, mine=CELL + "import helper", helper=helper)
        with pytest.raises(UserError, match=rf"^plugins: '{file}' cannot be imported: {what}$"):
            load_plugin(file, REGISTRIES)
        assert "mine" not in CELLS
        assert loaded(str(file)) is None
    assert not [name for name, module in sys.modules.items() if str(tmp_path) in str(getattr(module, "__file__", ""))]


def test_a_mistake_leaves_what_was_loaded_before(tmp_path: Path) -> None:
    file = write(tmp_path, mine=CELL + "import helper\nVALUE = helper.X", helper="X = 3")
    assert value(file) == 3
    cls = CELLS.get("mine")
    write(tmp_path, helper="1 / 0")
    with pytest.raises(UserError, match="ZeroDivisionError"):
        load_plugin(file, REGISTRIES)
    assert CELLS.get("mine") is cls
    assert vars(sys.modules[cls.__module__])["VALUE"] == 3
    write(tmp_path, helper="X = 4")
    assert value(file) == 4


def test_half_a_plugin_is_not_added(tmp_path: Path) -> None:
    """Its cell would fit, its task has the name of another one."""
    task = "\nfrom gatelab.tasks.adding import Adding\n@dataclass(frozen=True)\nclass Longer(Adding):\n    'Longer.'\n"
    load_plugin(write(tmp_path / "first", mine="from dataclasses import dataclass" + task), REGISTRIES)
    with pytest.raises(UserError, match=r"would replace the task 'mine', which '.*/first/mine\.py' defines"):
        load_plugin(write(tmp_path / "second", mine=CELL + task), REGISTRIES)
    assert "mine" not in CELLS


def test_a_module_of_gatelab_can_trace_it(tmp_path: Path) -> None:
    """The tracer and dataclasses look the module of a class up by name, and read its file."""
    cls = load_plugin(write(tmp_path, mine=CELL), REGISTRIES) and CELLS.get("mine")
    assert sys.modules[cls.__module__].__file__ == str(tmp_path / "mine.py")
    assert CELLS.name_of(cls) == "mine"


# What tells one from another.


def digest(folder: Path, **files: str) -> str:
    return read_plugin(write(folder, **files)).digest


def test_what_does_not_count(tmp_path: Path) -> None:
    mine, helper = CELL + "import helper", "def f(x):\n    return x + 1\n"
    first = digest(tmp_path, mine=mine, helper=helper)
    for old, new in (
        ("\n\n", "\n\n\n# A comment.\n"),
        ('"""Mine."""', '"""Says more, and better."""'),
        ('(1.0, "a factor", minimum=0.0)', "(\n        1.0,\n        'a factor',\n        minimum=0.0,\n    )"),
    ):
        assert old in mine
        assert digest(tmp_path, mine=mine.replace(old, new), helper=helper) == first
    described = "# -*- coding: utf-8 -*-\n'''Helps.'''\n\ndef f(x):\n    '''Adds.'''\n    return (x + 1)\n"
    assert digest(tmp_path, mine=mine, helper=described) == first
    assert digest(tmp_path / "elsewhere", mine=mine, helper=helper, unused="x = 1") == first


def test_what_counts(tmp_path: Path) -> None:
    mine, helper = CELL + "import helper", "import deeper\nX = 1"
    found = [
        digest(tmp_path, mine=mine, helper=helper, deeper="Y = 1"),
        digest(tmp_path, mine=mine, helper=helper, deeper="Y = 1.0"),
        digest(tmp_path, mine=mine, helper=helper, deeper="Y = True"),
        digest(tmp_path, mine=mine, helper=helper, deeper="Y = 0x" + "f" * 5000),
        digest(tmp_path, mine=mine, helper=helper, deeper="Y = '1'"),
        digest(tmp_path, mine=mine, helper=helper, deeper="Y = b'1'"),
        digest(tmp_path, mine=mine, helper=helper, deeper="Y = 1 + 0"),
        digest(tmp_path, mine=mine, helper="import deeper\nX = 2", deeper="Y = 1"),
        digest(tmp_path, mine=CELL.replace("1.0", "2.0") + "import helper", helper=helper, deeper="Y = 1"),
        digest(tmp_path, mine=mine, helper="X = 1", deeper="Y = 1"),
        digest(tmp_path, mine=CELL, helper=helper, deeper="Y = 1"),
    ]
    assert len(set(found)) == len(found)


def test_the_digest_is_the_same_for_every_version_of_python(tmp_path: Path) -> None:
    """And for every version of gatelab: a finished run keeps its identity."""
    assert digest(tmp_path, mine="def f(x):\n    'Twice.'\n    return 2 * x\n") == (
        "4752b568aa4d49cd9826ee369d654d7be09901f2271b748141d6144b35028942"
    )


def test_deep_trees(tmp_path: Path) -> None:
    """A sum of many terms, and a chain of `elif`, are trees deeper than Python's recursion."""
    total = "VALUE = " + " + ".join(["1"] * 900)
    chain = "x = 900\nif x == 0:\n    import helper\n" + "".join(f"elif x == {n}:\n    y = {n}\n" for n in range(1, 200))
    file = write(tmp_path, mine=f"{CELL}{total}\n{chain}", helper="")
    assert value(file) == 900


def test_reading_executes_nothing(tmp_path: Path) -> None:
    file = write(tmp_path, mine="import helper\nraise SystemExit(3)", helper="raise SystemExit(4)")
    plugin = read_plugin(file)
    assert isinstance(plugin, Plugin)
    assert plugin.files == [tmp_path / "mine.py", tmp_path / "helper.py"]
    assert ast.parse(plugin.sources["helper.py"])


def test_for_now(tmp_path: Path) -> None:
    """A run's own copy stands for its name while the run is looked at."""
    now, then = (write(tmp_path / name, mine=CELL.replace("1.0", scale)) for name, scale in (("now", "2.0"), ("then", "3.0")))
    load_plugin(now, REGISTRIES)
    cls = CELLS.get("mine")
    with only_for_now([read_plugin(then)], REGISTRIES):
        assert CELLS.build("mine").scale == 3.0  # type: ignore[attr-defined]
    assert CELLS.get("mine") is cls
