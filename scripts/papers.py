"""Writes the table of the papers into README.md, from experiments/*/results/reduced.json.

usage: python scripts/papers.py [--check]    (--check: writes nothing, ends with 1 if the table is not that of the results)
"""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gatelab.analysis.comparison.numbers import bounds
from gatelab.analysis.statistics.intervals import Interval

ROOT = Path(__file__).resolve().parents[1]
MARKS = "<!-- scripts/papers.py -->\n", "<!-- end -->"


def table() -> str:
    """Every claim of every paper that was run at the reduced scale, as Markdown."""
    lines = ["| paper, runs, time | claim | here (95%) | asked | n | verdict |", "|---|---|---|---|---|---|"]
    for file in sorted(ROOT.glob("experiments/*/results/reduced.json")):
        lines += _rows(json.loads(file.read_text()))
    return "\n".join(lines) + "\n"


def _rows(record: dict[str, Any]) -> Iterator[str]:
    runs = sum(arm["finished"] for arm in record["arms"].values())
    paper = f"`{record['paper']}`, {runs:,} runs, {record['core_seconds'] / 60:.0f} core minutes"
    for claim in record["claims"]:
        margin = f"{claim['comparison'].replace('_', ' ')}, {claim['margin']:g}"
        said = "; ".join(filter(None, [claim["verdict"], claim["note"], claim["label"]]))
        value = Interval(float(claim["value"]), claim["low"], claim["high"])
        cells = [paper, claim["statement"], f"`{claim['quantity']}` {bounds(value)}", margin]
        cells += ["/".join(map(str, claim["n"])), said]
        yield "| " + " | ".join(cells) + " |"
        paper = ""


def main() -> None:
    path = ROOT / "README.md"
    text = path.read_text()
    start, end = map(re.escape, MARKS)
    written = re.sub(f"{start}.*?{end}", lambda _: MARKS[0] + table() + MARKS[1], text, flags=re.DOTALL)
    if "--check" not in sys.argv[1:]:
        path.write_text(written)
    elif written != text:
        sys.exit("The table of papers in README.md is not that of experiments/*/results: run python scripts/papers.py.")


if __name__ == "__main__":
    main()
