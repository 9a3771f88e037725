"""What can be seen of a task's class before there is a task of it, through the file of a user."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gatelab.errors import UserError
from gatelab.registry import Registry
from gatelab.registry.plugins import load_plugin
from gatelab.tasks import Task

HEAD = """
from dataclasses import dataclass
from gatelab import Batch, Task, option


@dataclass(frozen=True)
class Mine(Task):
"""

REST = {
    name: f"    def {name}(self, {', '.join(arguments)}): ...\n"
    for name, arguments in {
        "size": ("split",),
        "batch": ("split", "seed", "indices"),
        "loss": ("output", "batch"),
        "metrics": ("output", "batch"),
        "constant": ("batch",),
    }.items()
}
VALUES = {
    "metric": '    metric = "mse"\n',
    "chance_derivation": '    chance_derivation = "a"\n',
    "solved_derivation": '    solved_derivation = "b"\n',
    "input_size": "    input_size = 1\n",
    "output_size": "    output_size = 1\n",
    "chance": "    chance = 1.0\n",
    "solved": "    solved = 0.1\n",
}


def source(**replaced: str) -> str:
    return HEAD + "".join((VALUES | REST | replaced).values())


CLASSES = {
    "empty": (HEAD + "    pass\n", r"class Mine has no `size`, `batch`, `loss`, `metrics`, `constant`, `input_size`, .*`metric`"),
    "no loss": (source(loss=""), r"class Mine has no `loss`; every task declares them"),
    "no metric": (source(metric=""), r"class Mine has no `metric`"),
    "no derivation": (source(solved_derivation=""), r"class Mine has no `solved_derivation`"),
    "no decorator": (source().replace("@dataclass(frozen=True)", ""), r"must be a dataclass. Write @dataclass\(frozen=True\)"),
    "own init": (source(init="    def __init__(self): ...\n"), r"class Mine has an __init__ of its own"),
    "an option called name": (source(name="    name: str = option('a')\n"), r"`task\.name` is the name of the task"),
    "a declaration with an annotation": (
        source(higher="    higher_is_better: bool = True\n"),
        r"the option 'higher_is_better' must have another name: it would hide .* of Task\. .* write it without an annotation",
    ),
    "a property that is none": (
        source(input_size="    def input_size(self): return 1\n"),
        r"`input_size` is a method, but it must be a value or a property; write @property above it",
    ),
    "a method that is a property": (
        source(constant="    @property\n    def constant(self): ...\n"),
        r"`constant` must be a method: def constant\(self, batch\)",
    ),
    "a method that is a number": (source(weight="    weight = 1.0\n"), r"`weight` must be a method: def weight\(self, batch\)"),
    "other arguments": (source(batch="    def batch(self, split): ...\n"), r"`batch` must take \(self, split, seed, indices\)"),
}


@pytest.fixture
def registry() -> Registry[Task]:
    return Registry("task", "gatelab.tasks", Task)  # type: ignore[type-abstract]


@pytest.mark.parametrize(("text", "message"), CLASSES.values(), ids=CLASSES)
def test_a_class_that_cannot_be_a_task_is_refused(text: str, message: str, registry: Registry[Task], tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(text)
    with pytest.raises(UserError, match=message) as raised:
        load_plugin(path, [registry])
    assert "\n" not in str(raised.value)
    assert os.fspath(path) in str(raised.value)
    assert "mine" not in registry


def test_a_whole_class_is_a_task(registry: Registry[Task], tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(source())
    load_plugin(path, [registry])
    assert isinstance(registry.build("mine"), Task)


def test_an_incomplete_task_cannot_be_built() -> None:
    cls: Any = dataclass(frozen=True)(type("Empty", (Task,), {}))
    with pytest.raises(TypeError, match="abstract"):
        cls()
