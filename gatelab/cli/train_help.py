"""The help of `gatelab train`, from the declarations of a run; Hydra's own takes seconds and a screen of groups."""

import dataclasses
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from gatelab.config import GROUPS, Config
from gatelab.options import describe
from gatelab.options.signature import WIDTH
from gatelab.sweeps.jobs.conf import REGISTRIES, own_choices

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


def train_help() -> str:
    """The page."""
    lines = [_line(name, known) for name, known in own_choices().items()]
    return "\n".join([HEAD, "choices:", *lines, "", "options (default):", *(_text(*option) for option in options())])


def options() -> Iterator[tuple[str, Mapping[str, Any], str]]:
    """Key and description of every option that no cell or task has, and the choice that has it, if it is one of several."""
    for field in dataclasses.fields(Config):
        if field.name in GROUPS:
            for name, cls in GROUPS[field.name].items():
                yield from ((f"{field.name}.{row['name']}", row, name) for row in describe(cls) if row["name"] != "name")
        elif dataclasses.is_dataclass(field.default_factory):
            yield from ((f"{field.name}.{row['name']}", row, "") for row in describe(field.default_factory))  # type: ignore[arg-type]
    own = {field.name for field in dataclasses.fields(Config) if not dataclasses.is_dataclass(field.default_factory)}
    own -= {*REGISTRIES, *GROUPS}
    yield from ((row["name"], row, "") for row in describe(Config) if row["name"] in own)


def _line(name: str, choices: list[str]) -> str:
    text = f"  {name + '=':<15} {', '.join(choices)}"
    return textwrap.fill(text, WIDTH, subsequent_indent=" " * 18, break_on_hyphens=False)


def _text(key: str, row: Mapping[str, Any], of: str) -> str:
    default = "null" if row["default"] is None else str(row["default"]).lower() if row["type"] == "bool" else row["default"]
    accepted = f": {', '.join(row['choices'])}" if row["choices"] else ""
    text = f"  {key} ({default}{f', {of}' if of else ''})  {row['help']}{accepted}"
    return textwrap.fill(text, WIDTH, subsequent_indent=" " * 6, break_on_hyphens=False)
