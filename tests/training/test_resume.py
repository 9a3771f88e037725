"""A run that was cut off and goes on ends, bit for bit, as one that was not."""

import random
import time
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cells.variants import Variant, each_kind
from training.resuming import Cut, assert_same, cut_at, cut_while_saving, only_run, start, train

from gatelab.config import GROUPS, Config, Machine, Model, Schedule
from gatelab.runs import read_run
from gatelab.tasks import TASKS
from gatelab.training.callbacks import random_state, seed_everything, set_random_state
from gatelab.training.fit import fit
from gatelab.training.module import SequenceModule

Resumed = Callable[..., None]
BETWEEN = Machine(checkpoint_steps=3)  # checkpoints between validations, too


@pytest.fixture
def resumed(small: Callable[..., Config], monkeypatch: pytest.MonkeyPatch) -> Resumed:
    """Cuts a run off at some steps or places, one after the other, lets it go on, and compares it with an undisturbed one."""

    def check(*cuts: int | tuple[int, str], machine: Machine = BETWEEN, **parts: Any) -> None:
        whole, config = fit(small("whole", **parts)), small("cut", machine=machine, **parts)
        for cut in cuts:
            with monkeypatch.context() as patch:
                step, place = cut if isinstance(cut, tuple) else (cut, "training_step")
                cut_at(patch, step, place)
                with pytest.raises(Cut):
                    fit(config)
        assert_same(fit(config), whole)

    return check


@pytest.mark.slow
@pytest.mark.parametrize(
    "cuts",
    [(0,), (9,), (10,), (14, 14, 16), ((10, "_evaluate"),), ((20, "on_test_epoch_end"),), ((20, "_evaluate"), (20, "_evaluate"))],
    ids=["at once", "before a validation", "behind one", "thrice", "in one", "in the test", "in the last two"],
)
def test_wherever_it_was_cut_off(resumed: Resumed, cuts: tuple[Any, ...]):
    resumed(*cuts)


@pytest.mark.slow
def test_with_random_masks(resumed: Resumed):
    resumed(14, model=Model(hidden_size=8, recurrent_dropout=0.2, zoneout=0.2, zoneout_memory=0.1, residual=True))


@pytest.mark.slow
@pytest.mark.parametrize("place", ["write_json", "_copy", "_note"])
def test_while_a_checkpoint_is_written(small, monkeypatch: pytest.MonkeyPatch, place: str):
    """Behind the content, between the names: the hashes of what is there are always among those noted."""
    whole, config = fit(small("whole")), small("cut", machine=BETWEEN)
    for number in (1, 3):
        with monkeypatch.context() as patch:
            cut_while_saving(patch, place, number)
            with pytest.raises(Cut):
                fit(config)
    assert_same(fit(config), whole)
    assert not list(Path(config.out).rglob("*.damaged"))


@pytest.mark.slow
def test_early_stopping_remembers(resumed: Resumed):
    """What was seen so far, and that the end had come."""
    trainer = {"max_steps": 200, "val_every": 4, "patience": 2}
    still = GROUPS["optimizer"]["sgd"](lr=1e-30)
    resumed(5, 7, (12, "on_test_epoch_end"), task={"name": "reber"}, optimizer=still, trainer=trainer)


@pytest.mark.slow
def test_a_directory_may_move(small, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """A moved run knows its best score and where its best weights are now."""
    # Of equal scores the first is the best, unless it is forgotten.
    parts: dict[str, Any] = {"optimizer": GROUPS["optimizer"]["sgd"](lr=1e-30), "trainer": {"val_every": 2, "max_steps": 14}}
    whole = fit(small("whole", **parts))
    with monkeypatch.context() as patch:
        cut_at(patch, 12)
        with pytest.raises(Cut):
            fit(small("cut", **parts))
    (tmp_path / "cut").rename(tmp_path / "moved")
    assert_same(fit(small("moved", **parts)), whole)
    assert whole.summary()["best_step"] == 2


def test_a_run_that_was_cut_off_counts_its_attempts(small, monkeypatch: pytest.MonkeyPatch):
    config = small()
    with monkeypatch.context() as patch:
        cut_at(patch, 12)
        with pytest.raises(Cut):
            fit(config)
    before = read_run(only_run(config.out)).status["wall_seconds"]
    run = fit(config)
    assert run.status["attempts"] == 2
    assert run.summary()["wall_seconds"] > before


def test_every_random_state_is_carried_over():
    def draw() -> tuple[float, float, float, float]:
        return torch.rand(()).item(), torch.randn(()).item(), random.random(), np.random.standard_normal()

    seed_everything(3)
    draw()
    state = random_state()
    expected = [draw() for _ in range(3)]
    set_random_state(state)
    assert [draw() for _ in range(3)] == expected
    seed_everything(3)
    draw()
    assert [draw() for _ in range(3)] == expected


SHORT = {"max_steps": 8, "val_every": 4, "log_every": 2, "probe_every": 4}


@pytest.mark.slow
@each_kind
def test_every_kind_of_cell(resumed: Resumed, variant: Variant):
    cell = {"name": variant.name, **variant.options}
    resumed(4, 7, cell=cell, model=Model(hidden_size=6, num_layers=2, dropout=0.2), trainer=SHORT)


@pytest.mark.slow
@pytest.mark.parametrize("schedule", [choice for field in fields(Schedule) for choice in field.metadata.get("choices", ())])
@pytest.mark.parametrize("optimizer", GROUPS["optimizer"])
def test_every_optimizer_and_schedule(resumed: Resumed, optimizer: str, schedule: str):
    parts = {"optimizer": GROUPS["optimizer"][optimizer](lr=1e-3, weight_decay=0.01), "trainer": SHORT}
    resumed(3, 7, schedule=Schedule(schedule, warmup_steps=2, final=0.1), **parts)


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS.names())
def test_every_task(resumed: Resumed, mirror: Path, task: str):
    large = 900 if TASKS.build(task).size("train") else 8  # so that finite data is gone through more than once
    trainer = {"max_steps": 4, "val_every": 2, "log_every": 1, "probe_every": 2, "batch_size": large}
    resumed(
        1, 3, machine=Machine(checkpoint_steps=1), task={"name": task}, model=Model(hidden_size=4, dropout=0.2), trainer=trainer
    )


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["f64", "bf16"])
def test_every_number_format(resumed: Resumed, precision: str):
    resumed(6, trainer=SHORT | {"precision": precision})


@pytest.mark.slow
def test_two_directions(resumed: Resumed):
    resumed(6, model=Model(hidden_size=4, bidirectional=True, num_layers=2), trainer=SHORT)


@pytest.mark.slow
@pytest.mark.parametrize(
    "where",
    [{"step": 13}, {"step": 10, "place": "_evaluate"}, {"step": 20, "place": "on_test_epoch_end"}]
    + [{"saving": (place, number)} for place in ("write_json", "_copy") for number in (2, 4)],
    ids=str,
)
def test_killed(small, where: dict[str, Any]):
    """By SIGKILL, in a process of its own."""
    whole, config = fit(small("whole")), small("killed", machine=BETWEEN)
    process = start(train, config, *(where.get(key) for key in ("step",)), where.get("place", "training_step"), where.get("saving"))
    process.join()
    assert process.exitcode == -9
    assert read_run(only_run(config.out)).state == "running"
    run = fit(config)
    assert_same(run, whole)
    assert run.status["attempts"] == 2
    hidden = [path for path in run.path.rglob(".*") if path.is_file()]
    assert not hidden  # of what it was writing nothing is left


@pytest.mark.slow
def test_killed_at_any_moment(small):
    """Again and again, by somebody who does not know what it is doing."""
    trainer = {"max_steps": 120, "patience": None}
    whole, config = fit(small("whole", trainer=trainer)), small("killed", machine=Machine(checkpoint_steps=7), trainer=trainer)
    moments = random.Random(0)
    kills = 0
    while kills < 12:
        process = start(train, config)
        process.join(moments.uniform(0.05, 0.6))
        if process.exitcode is not None:
            break
        process.kill()
        process.join()
        kills += 1
    run = fit(config)
    assert_same(run, whole)
    assert kills
    assert not list(run.path.rglob("*.damaged"))


@pytest.mark.slow
def test_a_second_process_leaves_a_run_alone(small):
    """While it is trained; and when its process is killed, the run is free at once."""
    config = small(trainer={"max_steps": 100_000, "val_every": 50_000, "patience": None})
    process = start(train, config)
    deadline = time.monotonic() + 300
    while _step(config) < 1 and time.monotonic() < deadline:
        time.sleep(0.02)
    with pytest.raises(ValueError, match="being trained by another process"):
        fit(config)
    process.kill()
    process.join()

    def enough(self: SequenceModule, *_: Any) -> None:
        raise Cut

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SequenceModule, "training_step", enough)
        with pytest.raises(Cut):
            fit(config)


def _step(config: Config) -> int:
    try:
        return read_run(only_run(config.out)).status["step"]
    except (OSError, ValueError):
        return 0
