"""`gatelab completion`: the script for a shell, and the words that it then asks `gatelab --complete LINE` for."""

import argparse
import shlex
from collections.abc import Iterable
from pathlib import Path

from gatelab.cli.arguments import sweeps_in
from gatelab.cli.commands import COMMANDS, Parser
from gatelab.cli.train_help import choices, names, options
from gatelab.process.output import say

BASH = r"""_gatelab() {
    local line="${COMP_LINE:0:COMP_POINT}" word IFS=$'\n'
    COMPREPLY=($(gatelab --complete "$line" 2>/dev/null))
    word="${line##* }"
    if [[ $word == *=* && $COMP_WORDBREAKS == *=* ]]; then  # bash takes what stands before = for a word of its own
        COMPREPLY=("${COMPREPLY[@]#"${word%"${word##*=}"}"}")
    fi
    [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[=.] ]] && compopt -o nospace
}
complete -o default -F _gatelab gatelab
"""
ZSH = r"""#compdef gatelab
_gatelab() {
    local -a found
    found=("${(@f)$(gatelab --complete "$LBUFFER" 2>/dev/null)}")
    [[ -n $found ]] && compadd -Q -S '' -- $found || _files
}
compdef _gatelab gatelab
"""
FISH = "complete -c gatelab -a '(gatelab --complete (commandline -cp) 2>/dev/null)'\n"
SCRIPTS = {"bash": BASH, "fish": FISH, "zsh": ZSH}
FLAGS = ["--cfg", "--dry-run", "--help", "--multirun"]  # of train


def run(options: argparse.Namespace) -> int:
    """Prints the script."""
    say(SCRIPTS[options.shell].rstrip("\n"))
    return 0


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
        found = _overrides(word, FLAGS)
    elif before[0] in COMMANDS:
        found = _arguments(before[0], before[1:], word)
    else:
        found = []
    return sorted({item for item in found if item.startswith(word)})


def _overrides(word: str, others: Iterable[str] = ()) -> Iterable[str]:
    """Choices behind the `=` of a group, also the second and third of a list; else the keys, one level at a time."""
    key, equals, value = word.partition("=")
    known = choices()
    if equals:
        first = word[: len(word) - len(value.rpartition(",")[2])]
        return [first + name for name in known.get(key, ())]
    level = word.count(".") + 1
    keys = [*(f"{group}=" for group in known), *(f"{name}=" for name in options())]
    return [*others, *(item if item.count(".") < level else ".".join(item.split(".")[:level]) + "." for item in keys)]


def _arguments(command: str, before: list[str], word: str) -> Iterable[str]:
    actions = Parser(command)._actions
    flags = {flag: action for action in actions for flag in action.option_strings}
    last = flags.get(before[-1]) if before else None
    if last is not None and last.nargs != 0:
        return last.choices or _named(command, last.dest)
    if word.startswith("-"):
        return flags
    given = [item for item in before if not item.startswith("-")]
    places = [action for action in actions if not action.option_strings]
    if not places:
        return []
    place = places[min(len(given), len(places) - 1)]
    return place.choices or _named(command, place.dest, word)


def _named(command: str, argument: str, word: str = "") -> Iterable[str]:
    """The names that an argument takes, where they are known without importing what they name."""
    if argument == "words":
        kinds = ("cell",) if command in ("bench", "kernels") else ("cell", "task")
        return [name for kind in kinds for name in names(kind)] + [
            item for item in _overrides(word) if item.partition("=")[0] in kinds
        ]
    if argument in ("baseline", "cell"):
        return names("cell")
    if argument == "task":
        return names("task")
    if argument == "figure" and command == "plot":
        from gatelab.analysis.figures import FIGURES

        return FIGURES
    if argument in ("sweep", "folders"):
        return [path.name for path in sweeps_in(Path("runs"))]
    return []
