"""The help of `gatelab train`, from the declarations of a run; Hydra's own takes seconds and a screen of groups."""

import dataclasses
import pkgutil
import textwrap
from collections.abc import Iterator
from pathlib import Path

import gatelab
from gatelab.cli.commands import WIDTH
from gatelab.config import GROUPS, Config
from gatelab.options import describe
from gatelab.sweeps.jobs.conf import conf_folder

HEAD = """\
usage: gatelab train [-m] [--dry-run] [OPTION=VALUE ...]

Trains one run; with -m, all combinations of the values given (a sweep).

  gatelab train cell=cifg task=adding task.length=200 seed=3
  gatelab train -m cell=lstm,gru optimizer.lr=1e-3,1e-2 'seed=range(5)'

  -m, --multirun         train a sweep, in processes of this machine; on a
                         cluster with its hydra/launcher, see below
  --dry-run              say what would be trained, and whether it can be
  -c, --cfg job          print the whole configuration
  --hydra-help           what else Hydra takes

`gatelab explain NAME` shows the options of a cell or a task (cell.*, task.*).
"""
FILES = ("trainer", "logger", "experiment")  # folders of conf/
MODULES = {"cell": "cells", "task": "tasks", "hydra/launcher": "sweeps/launchers", "hydra/sweeper": "sweeps/sweepers"}


def train_help() -> str:
    """The page."""
    lines = [_line(name, known) for name, known in choices().items()]
    return "\n".join([HEAD, "choices:", *lines, "", "options (default):", *(line for _, line in _options())])


def names(kind: str) -> list[str]:
    """What a registry of gatelab's own holds, read off its files: to import them takes seconds."""
    modules = pkgutil.iter_modules([str(Path(gatelab.__file__).parent / MODULES[kind])])
    return sorted(module.name for module in modules if not module.name.startswith("_"))


def choices() -> dict[str, list[str]]:
    """The choices of every group."""
    found = {kind: names(kind) for kind in MODULES} | {name: list(classes) for name, classes in GROUPS.items()}
    for name in FILES:
        files = (conf_folder() / name).rglob("*.yaml")
        found[name] = sorted(str(file.relative_to(conf_folder() / name).with_suffix("")) for file in files)
    return found


def options() -> list[str]:
    """The keys of all options that are not those of a cell or a task."""
    return [key for key, _ in _options()]


def _line(name: str, choices: list[str]) -> str:
    text = f"  {name + '=':<15} {', '.join(choices)}"
    return textwrap.fill(text, WIDTH, subsequent_indent=" " * 18, break_on_hyphens=False)


def _options() -> Iterator[tuple[str, str]]:
    for field in dataclasses.fields(Config):
        if field.name in GROUPS:
            for name, cls in GROUPS[field.name].items():
                yield from _rows(cls, f"{field.name}.", f", {name}")
        elif dataclasses.is_dataclass(field.default_factory):
            yield from _rows(field.default_factory, f"{field.name}.")  # type: ignore[arg-type]
    own = {field.name for field in dataclasses.fields(Config) if not dataclasses.is_dataclass(field.default_factory)}
    yield from _rows(Config, "", only=own - {"cell", "task", *GROUPS})


def _rows(cls: type, prefix: str, of: str = "", only: set[str] | None = None) -> Iterator[tuple[str, str]]:
    for row in describe(cls):
        if (row["name"] == "name" and of) or (only is not None and row["name"] not in only):
            continue
        default = "null" if row["default"] is None else str(row["default"]).lower() if row["type"] == "bool" else row["default"]
        accepted = f": {', '.join(row['choices'])}" if row["choices"] else ""
        text = f"  {prefix}{row['name']} ({default}{of})  {row['help']}{accepted}"
        yield f"{prefix}{row['name']}", textwrap.fill(text, WIDTH, subsequent_indent=" " * 6, break_on_hyphens=False)
