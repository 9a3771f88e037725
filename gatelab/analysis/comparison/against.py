"""What rows are compared by, and with which row of the baseline; all problems together are one family of tests."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from gatelab.analysis.comparison.row import Row
from gatelab.analysis.statistics.differences import Difference, Family, differences
from gatelab.analysis.statistics.shapes import clusters, degenerate


def summarised(rows: Sequence[Row]) -> list[Row]:
    """The rows of one problem, with means where their task declares one value with scatter, unless the runs show otherwise.

    Scores in two clusters speak against the means of all rows, a sample without a variance against its own. Where runs of an
    earlier version did not note what their task declares, it is what the others noted.
    """
    known = [row for row in rows if row.n]
    if not known:
        return list(rows)
    declared = max(known, key=lambda row: (row.shape == "single", row.scale != "linear"))
    words = {"scale": declared.scale, "shape": declared.shape, "test_size": declared.test_size}
    if declared.shape == "any":
        return [dataclasses.replace(row, **words) for row in rows]
    samples = [np.array(row.scores, dtype=float) for row in known]
    apart = clusters(samples, declared.axis, declared.higher_is_better, declared.chance, declared.solved)
    made = []
    for row in rows:
        odd = apart or degenerate(np.array(row.scores, dtype=float), declared.axis) if row.n else ""
        mean = declared.axis.mean(row.scores) if row.n and not odd else None
        made.append(dataclasses.replace(row, odd=odd, mean=mean, **words))
    return made


def led(rows: Sequence[Row], paired: bool = False) -> list[Row]:
    """The rows of one problem, with what leads their comparison.

    That is the time to solve where the task declares nothing of the shape of its scores, every row with a result has its times, and
    some but not all of the runs solve the task; else the score. The choice knows of all runs together and not of their variants,
    so that the tests which follow stay exact. Pairs are compared by their scores.
    """
    solving = [row.solving for row in rows if row.n]
    known = bool(solving) and all(row.shape == "any" for row in rows if row.n)
    reached = sum(item.count for item in solving if item is not None)
    every = sum(item.n for item in solving if item is not None)
    on_time = known and not paired and None not in solving and 0 < reached < every
    return [dataclasses.replace(row, on_time=on_time) for row in rows]


def compared(problems: Sequence[Sequence[Row]], baseline: str | None, paired: bool = False) -> list[list[Row]]:
    """The rows of all problems, with what compares them with the baseline, adjusted over all of them.

    Args:
        problems: the rows of each.
        baseline: the cell that others are compared with; None: nothing is compared.
        paired: compare runs of equal seeds.
    """
    if baseline is None:
        return [list(rows) for rows in problems]
    families: list[Family] = []
    members: list[list[tuple[int, int]]] = []  # of each family: problem and row of every variant
    notes: dict[tuple[int, int], str] = {}
    for number, rows in enumerate(problems):
        rivals = [row for row in rows if row.cell == baseline and row.n]
        against: dict[int, list[int]] = {}  # by the place of the rival
        for place, row in enumerate(rows):
            if row.n and row.cell != baseline:
                rival, notes[number, place] = _rival(row, rivals, baseline)
                if rival is not None:
                    against.setdefault(rivals.index(rival), []).append(place)
        for rival, places in against.items():
            families.append(_family(rivals[rival], [rows[place] for place in places]))
            members.append([(number, place) for place in places])
    found: dict[tuple[int, int], Difference] = {}
    for places, of_family in zip(members, differences(families, paired=paired), strict=True):
        found |= dict(zip(places, of_family, strict=True))
    return [
        [
            dataclasses.replace(row, difference=found.get((number, place)), note=notes.get((number, place), ""))
            for place, row in enumerate(rows)
        ]
        for number, rows in enumerate(problems)
    ]


def _family(baseline: Row, variants: Sequence[Row]) -> Family:
    return Family(
        baseline=baseline.sample,
        variants=[row.sample for row in variants],
        higher_is_better=baseline.higher_is_better,
        axis=baseline.axis,
        shape=baseline.shape,
        chance=baseline.chance,
        solved=baseline.solved,
        until=baseline.solving.until if baseline.on_time and baseline.solving is not None else None,
    )


def _rival(row: Row, rivals: list[Row], baseline: str) -> tuple[Row | None, str]:
    """The row of the baseline that a row is compared with, or None; and what there is to say about the choice."""
    same = [rival for rival in rivals if rival.variant.shared_options == row.variant.shared_options]
    if len(same) == 1:
        return same[0], ""
    if same:
        return None, f"{len(same)} variants of {baseline} have the same options, so the comparison is not unique"
    if len(rivals) == 1:
        return rivals[0], f"compared with {baseline}, {rivals[0].options}"
    if rivals:
        return None, f"none of the {len(rivals)} variants of {baseline} has the same options"
    return None, f"no finished run of {baseline} on this task"
