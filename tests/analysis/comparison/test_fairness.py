"""What stands beside a table on the sizes of what it compares, and when it does not."""

from typing import Any

from analysis.comparison.rows import compared, printed

UNMATCHED = "Compared at equal hidden size, not at equal size: params {} to {}; model.match=parameters matches them."


def test_variants_of_different_sizes_at_one_hidden_size(make_run: Any, tmp_path: Any) -> None:
    make_run("lstm", summary={"parameters": 12_929})
    make_run("gru", summary={"parameters": 25_601})
    make_run("gru", "copying")
    text = printed(compared(tmp_path / "runs").rows, width=200)
    assert text.count("Compared at equal") == 1
    assert UNMATCHED.format("12,929", "25,601") in text


def test_sizes_within_five_percent_need_no_word(make_run: Any, tmp_path: Any) -> None:
    make_run("lstm", summary={"parameters": 1000})
    make_run("gru", summary={"parameters": 1050})
    make_run("cifg", state="failed")
    assert "Compared at equal" not in printed(compared(tmp_path / "runs").rows, width=200)


def test_different_hidden_sizes_are_no_claim(make_run: Any, tmp_path: Any) -> None:
    make_run("lstm", summary={"parameters": 1000})
    make_run("lstm", summary={"parameters": 3000}, **{"model.hidden_size": 128})
    assert "Compared at equal" not in printed(compared(tmp_path / "runs").rows, width=200)


def test_matched_variants_are_named_with_their_sizes(make_run: Any, tmp_path: Any) -> None:
    for cell, size, off in (("lstm", 64, 0.0), ("fgr", 32, -0.024)):
        matched = {"by": "parameters", "to": "lstm", "hidden_size": size, "off": off}
        make_run(cell, summary={"parameters": 1000 if cell == "lstm" else 1100, "matched": matched})
    text = printed(compared(tmp_path / "runs").rows, width=200)
    assert "Matched to lstm in parameters (units a layer, difference): " in text
    assert "fgr 32 (-2.4%)" in text
    assert "Compared at equal" not in text


def test_a_damaged_note_is_a_damaged_summary(make_run: Any, tmp_path: Any) -> None:
    make_run("lstm", summary={"matched": {"by": "parameters"}})
    (skipped,) = compared(tmp_path / "runs").skipped
    assert skipped.reason == "summary.json lacks 'to'"
