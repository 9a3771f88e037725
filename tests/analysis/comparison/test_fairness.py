"""What stands beside a table on sizes and tuning budgets, and when it does not."""

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


def test_tuning_budgets_that_differ(make_run: Any, tmp_path: Any) -> None:
    for number in range(6):
        make_run("lstm", seed=0, **{"optimizer.lr": 1e-3 * (1 + number)})
        make_run("gru", seed=number % 2, **{"optimizer.lr": 1e-3 * (1 + number // 2)})  # three settings, two seeds of each
    text = printed(compared(tmp_path / "runs").rows, width=200)
    assert "Tuning budgets differ (settings tried): lstm 6, gru 3; the best of more settings is better by chance alone." in text


def test_trials_that_a_search_ended_early_belong_to_its_budget(make_run: Any, tmp_path: Any) -> None:
    for number in range(6):
        make_run("lstm", **{"optimizer.lr": 1e-3 * (1 + number)})
        path = make_run("gru", **{"optimizer.lr": 1e-3 * (1 + number)})
        if number > 2:
            (path / "status.json").write_text((path / "status.json").read_text().replace('"finished"', '"pruned"'))
    result = compared(tmp_path / "runs")
    assert result.pruned == 3
    assert "Tuning budgets" not in printed(result.rows, width=200)


def test_a_few_settings_are_not_a_search(make_run: Any, tmp_path: Any) -> None:
    make_run("gru")
    for number in range(4):
        make_run("lstm", **{"cell.forget_bias": float(number)})
    assert "Tuning budgets" not in printed(compared(tmp_path / "runs").rows, width=200)


def test_budgets_are_those_of_one_task(make_run: Any, tmp_path: Any) -> None:
    for number in range(5):
        for cell in ("lstm", "gru"):
            make_run(cell, **{"optimizer.lr": 1e-3 * (1 + number)})
    make_run("lstm", "copying")
    make_run("lstm", **{"task.length": 50})
    assert "Tuning budgets" not in printed(compared(tmp_path / "runs").rows, width=200)
