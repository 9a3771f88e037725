"""Which runs are one variant: those that compute the same, whatever version wrote them."""

from pathlib import Path
from typing import Any

from gatelab.analysis.reading.variants import read_variants
from gatelab.runs import find_runs


def test_options_that_an_earlier_version_did_not_write_do_not_set_variants_apart(make_run: Any, tmp_path: Path) -> None:
    earlier = make_run("lstm", "adding", 0)
    now = make_run("lstm", "adding", 1, provenance={"left_out": {"cell": ["input_bias"]}}, **{"cell.input_bias": 0.0})
    other = make_run("lstm", "adding", 2, provenance={"left_out": {"cell": []}}, **{"cell.input_bias": -1.0})
    variants, skipped = read_variants(find_runs([tmp_path / "runs"])[0])
    assert not skipped
    assert {str(one.options): [run.path for run in one.runs] for one in variants} == {
        "": [earlier, now],
        "cell.input_bias=-1.0": [other],
    }


def test_a_record_of_what_was_left_out_that_is_damaged_is_not_followed(make_run: Any, tmp_path: Path) -> None:
    for number, damage in enumerate(({"cell": 3}, [], {"elsewhere": ["x"], "seed": ["y"]}, None)):
        make_run("lstm", "adding", number, provenance={"left_out": damage})
    (variant,), _ = read_variants(find_runs([tmp_path / "runs"])[0])
    assert len(variant.runs) == 4
