"""What a command line may become: the answer of `gatelab --complete LINE`, which the script of a shell asks for."""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gatelab.cli.commands import COMMANDS
from gatelab.cli.train_help import options
from gatelab.errors import UserError
from gatelab.options import describe
from gatelab.options.signature import parameters
from gatelab.runs.folders import sweeps_in
from gatelab.sweeps.described import described
from gatelab.sweeps.jobs.conf import OF_HYDRA, REGISTRIES, default_choice, own_choices

FLAGS = ["--cfg", "--dry-run", "--help", "--multirun"]  # of train


def complete(line: str) -> list[str]:
    """The words that the last word of a command line may become.

    Args:
        line: from `gatelab` up to the cursor.
    """
    try:
        words = shlex.split(line)[1:]
    except ValueError:  # within quotes
        return []
    if not words or line[-1:].isspace():
        words.append("")
    *before, word = words
    if not before:
        found: Iterable[str] = [*COMMANDS, "--help", "--version"]
    elif before[0] == "train":
        found = _overrides(word, before[1:], FLAGS)
    elif before[0] in COMMANDS:
        found = _arguments(before[0], before[1:], word)
    else:
        found = []
    return sorted({item for item in found if item.startswith(word)})


def _overrides(word: str, before: Sequence[str], others: Iterable[str] = ()) -> Iterable[str]:
    """What an override may become: keys, one level at a time; behind the `=` values, also the second and third of a list."""
    key, equals, value = word.partition("=")
    groups, rows = own_choices(), _options(word, before)
    if equals:
        first = word[: len(word) - len(value.rpartition(",")[2])]
        row = rows.get(key, {})
        known = groups.get(key) or row.get("choices") or (("true", "false") if row.get("type") == "bool" else ())
        return [first + name for name in known]
    level = word.count(".") + 1
    keys = [*(f"{group}=" for group in groups), *(f"{name}=" for name in rows)]
    return [*others, *(item if item.count(".") < level else ".".join(item.split(".")[:level]) + "." for item in keys)]


def _options(word: str, before: Sequence[str]) -> dict[str, Mapping[str, Any]]:
    """Every option that a command takes, with its description: also those of the cells, the launcher and so on that it names.

    Those are looked up only where the word begins one of them, because the first description of a cell takes torch.
    """
    rows = {key: row for key, row, _ in options()}
    for group in (*REGISTRIES, *OF_HYDRA):
        prefix = f"{group.replace('/', '.')}."
        if not word.startswith(prefix):
            rows[f"{prefix}OPTION"] = {}  # its first level is all that is shown of it
            continue
        given = [word.partition("=")[2].split(",") for word in before if word.startswith(f"{group}=")]
        for name in given[-1] if given else [default_choice(group)]:
            rows |= {prefix + row["name"]: row for row in _described(group, name)}
    return rows


def _described(group: str, name: str) -> list[Mapping[str, Any]]:
    try:
        return describe(OF_HYDRA[group].get(name)) if group in OF_HYDRA else described([name], "", (group,))[0]["options"]
    except UserError:  # there is nothing of that name, or it is not finished being typed
        return []


def _arguments(command: str, before: list[str], word: str) -> Iterable[str]:
    """What the next argument or option of a command may be, from its signature."""
    flags = {flag: item for item in parameters(COMMANDS[command]) if item.option for flag in item.flags}
    last = flags.get(before[-1]) if before else None
    if last is not None and last.kind is not bool:
        return last.choices or _named(command, last.name, before, word)
    if word.startswith("-"):
        return [*flags, "--help"]
    given = [item for item in before if not item.startswith("-")]
    places = [item for item in parameters(COMMANDS[command]) if not item.option]
    if not places:
        return []
    place = places[min(len(given), len(places) - 1)]
    return place.choices or _named(command, place.name, before, word)


def _named(command: str, argument: str, before: Sequence[str], word: str) -> Iterable[str]:
    """The names that an argument takes, where they are known without importing what they name."""
    if argument == "words":
        kinds = ("cell",) if command in ("bench", "diff", "kernels") else ("cell", "task")
        names = {name: kind for kind in kinds for name in REGISTRIES[kind].names()}
        named = [f"{names[item]}={item}" for item in before if item in names] + [item for item in before if "=" in item]
        return [*names, *(item for item in _overrides(word, named) if item.partition("=")[0].partition(".")[0] in kinds)]
    if argument in ("baseline", "cell", "task"):
        return REGISTRIES["task" if argument == "task" else "cell"].names()
    if argument == "figure" and command == "plot":
        from gatelab.analysis.figures import FIGURES

        return FIGURES
    if argument == "paper":
        from gatelab.sweeps.papers import papers_folder

        return [folder.name for folder in papers_folder().iterdir() if (folder / "paper.yaml").is_file()]
    if argument in ("sweep", "runs"):
        return [path.name for path in sweeps_in(Path("runs"))]
    return []
