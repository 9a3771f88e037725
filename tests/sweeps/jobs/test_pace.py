"""What a command says while it looks at very many runs."""

import pytest

from gatelab.sweeps.jobs import compose, pace
from gatelab.sweeps.search.expand import compose_jobs


def test_a_command_with_very_many_runs_says_so_before_it_composes_the_first(monkeypatch, capsys) -> None:
    compose.register_schemas()
    monkeypatch.setattr("gatelab.sweeps.search.expand.MANY_RUNS", 3)
    said: list[str] = []
    monkeypatch.setattr("gatelab.sweeps.search.expand.expand", lambda *_: said.append(capsys.readouterr().err) or [])
    compose_jobs(compose.parse(["seed=range(4)"]), sweep=True)
    assert said == ["Composing 4 runs.\n"]


@pytest.mark.parametrize(("step", "lines"), [(0.5, 0), (1.0, 1), (2.5, 2), (5.0, 4), (60.0, 4)])
def test_work_on_many_runs_tells_how_far_it_is(monkeypatch, capsys, step, lines) -> None:
    times = iter(step * number for number in range(100))
    monkeypatch.setattr(pace.time, "monotonic", lambda: next(times))
    assert [*pace.paced("abcde", "Composed")] == [*"abcde"]
    told = capsys.readouterr().err.splitlines()
    assert len(told) == lines
    if step == 60.0:
        assert told[0] == "Composed 1 of 5 runs; about 8 min left."


def test_composing_and_checking_tell_how_far_they_are(gatelab, monkeypatch, tmp_path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pace, "SECONDS_BETWEEN", 0.0)
    status, _, err = gatelab("train", "--dry-run", "-m", "seed=0,1", "logger=none", "task.length=5", "model.hidden_size=4")
    assert status == 0
    for verb in ("Composed", "Looked at", "Estimated"):
        assert f"{verb} 1 of 2 runs; about " in err
