"""What covering designs promise, for registries of several sizes."""

import itertools

import pytest
from designs import indices, over

LENGTHS = [(5, 2, 2, 3), (4,), (2, 2, 2, 2, 2), (7, 6), (1, 3)]
NAMES = [f"cell_{number}" for number in range(40)]
each_length = pytest.mark.parametrize("lengths", LENGTHS, ids=str)
each_count = pytest.mark.parametrize("count", [1, 2, 14])


def assert_everything_is_met(design: dict[str, list[tuple[int, ...]]], lengths: tuple[int, ...]) -> None:
    rows = [row for own in design.values() for row in own]
    for axis, length in enumerate(lengths):
        assert {row[axis] for row in rows} == set(range(length))
    for (one, first), (other, second) in itertools.combinations(enumerate(lengths), 2):
        assert {(row[one], row[other]) for row in rows} == set(itertools.product(range(first), range(second)))


@each_length
@each_count
def test_every_entry_meets_every_value_and_every_pair_is_met(lengths: tuple[int, ...], count: int) -> None:
    design = indices(NAMES[:count], lengths)
    assert list(design) == NAMES[:count]
    for own in design.values():
        for axis, length in enumerate(lengths):
            assert {row[axis] for row in own} == set(range(length))
    assert_everything_is_met(design, lengths)


@each_length
@each_count
def test_with_one_row_for_each_entry_everything_is_still_met(lengths: tuple[int, ...], count: int) -> None:
    design = indices(NAMES[:count], lengths, rows=1)
    assert all(design.values())
    assert_everything_is_met(design, lengths)


@each_length
def test_a_large_registry_needs_no_further_rows(lengths: tuple[int, ...]) -> None:
    assert all(len(own) <= max(lengths) for own in indices(NAMES, lengths).values())


@each_length
def test_another_entry_leaves_the_others_as_they_are(lengths: tuple[int, ...]) -> None:
    """But for rows behind its own, which others may take over."""
    few, many, count = indices(NAMES[:3], lengths), indices(NAMES, lengths), max(lengths)
    assert all(many[name][:count] == own[:count] for name, own in few.items())


def test_values_of_short_axes_do_not_stay_together() -> None:
    """Two axes of two values each, in five rows: all four pairs, for every entry."""
    for own in indices(NAMES, (5, 2, 2)).values():
        assert {row[1:] for row in own} == set(itertools.product(range(2), range(2)))


def test_values_become_arguments_with_readable_names() -> None:
    def quick(name: str, shape: tuple[int, ...], ragged: bool) -> bool:
        return ragged

    mark = over("name", ["lstm"], quick=quick, shape=[(3, 7)], ragged=[False, pytest.param(True, id="ragged")])
    assert mark.args[0] == ("name", "shape", "ragged")
    found = {case.id: (case.values, [each.name for each in case.marks]) for case in mark.args[1]}
    assert found == {
        "lstm-3x7-False": (("lstm", (3, 7), False), ["slow"]),
        "lstm-3x7-ragged": (("lstm", (3, 7), True), []),
    }
