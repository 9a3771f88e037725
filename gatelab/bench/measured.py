"""Figures that come with gatelab: how fast each cell was, on which machine and when. `gatelab explain` shows them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gatelab.errors import UserError
from gatelab.runs.files import write_json

PATH = Path(__file__).with_name("measured.json")
AGAIN = "gatelab bench --keep"  # the command that measures them again
HEAD = ("date", "machine", "versions", "threads", "repeats", "dtype", "peak_gflops")
ROW = ("cell", "options", "shape", "backend", "ratios", "gflops", "peak_share")


def keep(result: Mapping[str, Any]) -> None:
    """Writes what is shown of a run of `gatelab bench` in the place of the figures that were there.

    Raises:
        UserError: the file cannot be written.
    """
    rows = []
    for row in result["rows"]:
        column = row["columns"].get(row["backend"], {})
        rows.append({key: row[key] for key in ROW} | {key: column.get(key) for key in ("seconds", "spread", "n")})
    try:
        write_json(PATH, {key: result[key] for key in HEAD} | {"rows": rows})
    except OSError as error:
        raise UserError(
            f"bench: {PATH} cannot be written ({error.strerror}); `--format json > FILE` writes to a file of yours."
        ) from error


def figures(name: str, options: Mapping[str, Any], defaults: Mapping[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The run that was kept, and its rows of one cell: those of just these options, or else all of that name.

    Args:
        name: of the cell.
        options: the value of each of its options.
        defaults: those of each: what was measured before there was an option had its default.

    Raises:
        UserError: the file cannot be read.
    """
    try:
        found = json.loads(PATH.read_text("utf-8"))
        rows = [row for row in found["rows"] if row["cell"].partition(":")[0] == name]
    except FileNotFoundError:
        return {}, []
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"The measured figures in {PATH} cannot be read ({error}); `{AGAIN}` measures them again.") from error
    wanted, usual = json.loads(json.dumps([options, defaults]))
    return found, [row for row in rows if usual | row["options"] == wanted] or rows
