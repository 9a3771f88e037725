"""A command that leaves a failed run alone ends with 1, and says which run and why."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest

from gatelab.runs import read_run
from gatelab.runs.writer import RunWriter
from gatelab.sweeps.jobs import compose
from gatelab.sweeps.search.expand import compose_jobs

TINY = ["cell=rnn", "task=adding", "task.length=4", "model.hidden_size=2", "logger=none", "trainer.max_steps=1"]


@pytest.mark.parametrize("sweep", [[], ["-m", "hydra/launcher=basic", "sweep=s"]], ids=["one run", "a sweep"])
@pytest.mark.parametrize(
    ("cause", "retry", "why"),
    [
        ("diverged", "failed", "It would diverge again and is left alone; machine.retry=all trains it again."),
        ("error", "none", "It is left alone because of machine.retry=none; machine.retry=all trains it again."),
    ],
    ids=["diverged", "retry=none"],
)
def test_the_reason_is_said(
    sweep: list[str],
    cause: str,
    retry: str,
    why: str,
    tmp_path: Path,
    gatelab: Callable[..., tuple[int, str, str]],
    composed_once: None,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.chdir(tmp_path)
    (job,) = compose_jobs(compose.parse(TINY), sweep=False)
    writer = RunWriter(job.path)
    writer.start(asdict(job.config), {}, job.run_id)
    writer.fail("There was a hole in it.", "", None, cause)
    writer.close()
    status, _, said = gatelab("train", *sweep, *TINY, f"machine.retry={retry}")
    assert status == 1
    assert f"{job.path} failed before, at step 0: There was a hole in it. {why}" in said.splitlines()
    assert "1 run: 1 failed before and left alone." in said
    assert read_run(job.path).state == "failed"
