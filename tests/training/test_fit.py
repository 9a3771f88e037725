"""One run: what it writes, that it is reproducible, and what becomes of it when something goes wrong."""

import json
import math
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from tolerances import FLOAT32

from gatelab.cells import CELLS
from gatelab.config import SGD, AdamW, Config, Machine, Model, Schedule
from gatelab.diagnostics import keys
from gatelab.errors import UserError
from gatelab.runs import Run, RunWriter, identity, read_run
from gatelab.tasks import TASKS
from gatelab.training.data import EvaluationBatches, TrainingStream
from gatelab.training.failures import RunFailedError
from gatelab.training.fit import fit
from gatelab.training.module import SequenceModule
from gatelab.training.prepare import build_model, check
from gatelab.training.spec import Spec


def without_times(metrics: dict[str, Any]) -> dict[str, Any]:
    """What must be the same in two runs of the same configuration."""
    return {key: value for key, value in metrics.items() if not key.startswith("time/")}


def weights(run: Run, name: str) -> dict[str, torch.Tensor]:
    return torch.load(run.path / "checkpoints" / f"{name}.ckpt", weights_only=True)["state_dict"]


def test_a_finished_run_holds_everything(small):
    run = fit(small())
    assert run.state == "finished"
    assert run.status["step"] == 20
    summary = run.summary()
    assert summary["steps"] == 20
    assert summary["best_step"] in (10, 20)
    assert summary["parameters"] == sum(value.numel() for value in weights(run, "best").values())
    assert summary["chance"] == pytest.approx(1 / 6)
    assert (summary["scale"], summary["shape"], summary["test_size"]) == ("log", "any", 1024)
    assert summary["sequence_length"] == run.config["task"]["length"]
    assert math.isfinite(summary["test"]["mse"])
    metrics = run.metrics()
    assert metrics["val/mse"][0] == [10, 20]
    assert summary["val"]["mse"] == min(metrics["val/mse"][1])
    assert metrics["train/loss"][0] == [5, 10, 15, 20]
    assert metrics["grad/norm"][0] == [5, 10, 15, 20]
    assert {"versions", "git", "data_sha256", "cpu", "threads"} <= set(run_json(run, "provenance.json"))


def test_the_rate_recorded_is_the_one_the_step_was_made_with(small):
    schedule = Schedule("linear", warmup_steps=2)
    run = fit(small(optimizer=SGD(lr=0.5), schedule=schedule, trainer={"max_steps": 6, "log_every": 1}))
    steps, rates = run.metrics()[keys.LEARNING_RATE]
    assert steps == [1, 2, 3, 4, 5, 6]
    assert rates == pytest.approx([0.25, 0.5, 0.5, 0.375, 0.25, 0.125])
    assert run.metrics()[keys.STEPS_PER_SECOND][0] == steps
    assert min(run.metrics()[keys.STEPS_PER_SECOND][1]) > 0


def run_json(run: Run, name: str) -> dict[str, Any]:
    return json.loads((run.path / name).read_text())


@pytest.mark.slow
@pytest.mark.parametrize("name", CELLS.names())
def test_every_gate_and_parameter_is_recorded(name, small):
    run = fit(small(cell={"name": name}, model=Model(hidden_size=4, num_layers=2)))
    metrics = run.metrics()
    model = build_model(Spec(small(cell={"name": name}, model=Model(hidden_size=4, num_layers=2))))
    cell = model.rnn.cell
    _, _, traces = model.rnn.trace(torch.randn(2, 3, 2))
    for layer, trace in traces.items():
        for gate in trace.gates:
            saturated = () if gate in cell.unbounded else ("saturated_left", "saturated_right")
            for statistic in ("mean", "std", *saturated):
                assert metrics[keys.gate(layer, gate, statistic)][0] == [10, 20]
            if gate not in cell.unbounded:
                assert sum(run.histograms()[keys.gate(layer, gate)][1][0]) == 8 * 8 * 4  # B T H
    for parameter, value in model.named_parameters():
        assert metrics[keys.gradient(parameter)][0] == [10, 20]
        blocks = [metrics[keys.gradient(parameter, cell.gates[row])][1] for row in cell.rows(parameter.rpartition(".")[2])]
        if blocks:
            # The blocks are all of the parameter: their norms make up its norm.
            total = [math.sqrt(sum(norm**2 for norm in at)) for at in zip(*blocks, strict=True)]
            assert total == pytest.approx(metrics[keys.gradient(parameter)][1], rel=1e-4), value.shape


@pytest.mark.slow
def test_the_same_configuration_gives_the_same_bits(small):
    first, second = fit(small("a")), fit(small("b"))
    assert first.path != second.path
    assert without_times(first.metrics()) == without_times(second.metrics())
    assert first.histograms() == second.histograms()
    for name, value in weights(first, "last").items():
        assert torch.equal(value, weights(second, "last")[name])


@pytest.mark.slow
@pytest.mark.parametrize("broken_at", [3, 10, 14])
@pytest.mark.parametrize(
    "task", [{"name": "adding", "length": 8}, {"name": "continual_reber", "strings": 2}], ids=lambda task: task["name"]
)
def test_an_interrupted_run_ends_where_it_would_have_ended(small, monkeypatch, broken_at, task):
    whole = fit(small("a", task=task))
    config = small("b", task=task)
    original = SequenceModule.training_step

    def interrupted(self, batch, index):
        if self.global_step == broken_at:
            raise KeyboardInterrupt
        return original(self, batch, index)

    with monkeypatch.context() as patch:
        patch.setattr(SequenceModule, "training_step", interrupted)
        with pytest.raises((KeyboardInterrupt, SystemExit)):
            fit(config)
    (path,) = Path(config.out).iterdir()
    assert read_run(path).state == "preempted"
    assert "Interrupted" in read_run(path).status["error"]
    resumed = fit(config)
    assert without_times(resumed.metrics()) == without_times(whole.metrics())
    assert resumed.histograms() == whole.histograms()
    for name, value in weights(whole, "last").items():
        assert torch.equal(value, weights(resumed, "last")[name])
    for key in ("test", "val", "gates", "best_step", "steps"):
        assert resumed.summary()[key] == whole.summary()[key]
    assert whole.summary()["gates"]


def test_a_finished_run_is_not_trained_again(small, monkeypatch):
    run = fit(small())
    monkeypatch.setattr(SequenceModule, "training_step", None)
    assert fit(small()) == run


def test_a_loss_that_is_not_finite_fails_the_run(small):
    config = small(optimizer=SGD(lr=1e30), trainer={"clip_norm": None})
    with pytest.raises(RunFailedError, match="loss is"):
        fit(config)
    (path,) = Path(config.out).iterdir()
    run = read_run(path)
    assert run.state == "failed"
    assert "at step" in run.status["error"]
    assert run.status["checkpoint"] is None
    assert "NonFiniteLossError" in run.status["traceback"]
    assert run.diverged


def test_a_failed_run_names_its_last_good_checkpoint(small, monkeypatch):
    original = SequenceModule.training_step
    monkeypatch.setattr(
        SequenceModule,
        "training_step",
        lambda self, batch, index: original(self, batch._replace(x=batch.x * (math.nan if self.global_step == 13 else 1)), index),
    )
    config = small()
    with pytest.raises(RunFailedError, match="nan at step 13"):
        fit(config)
    (path,) = Path(config.out).iterdir()
    checkpoint = read_run(path).status["checkpoint"]
    assert torch.load(checkpoint, weights_only=True)["global_step"] == 10


def test_scores_that_are_not_finite_never_reach_a_checkpoint(small, monkeypatch):
    original = SequenceModule._evaluate
    monkeypatch.setattr(SequenceModule, "_evaluate", lambda self, batch: original(self, batch._replace(x=batch.x * math.nan)))
    config = small()
    with pytest.raises(RunFailedError, match="validation mse is nan at step 10"):
        fit(config)
    assert not list(Path(config.out).rglob("*.ckpt"))


@pytest.mark.slow
def test_two_processes_never_train_the_same_run(small):
    config = small()
    run = fit(config)
    (run.path / "summary.json").unlink()
    writer = RunWriter(run.path)
    try:
        with pytest.raises(UserError, match="another process"):
            fit(config)
    finally:
        writer.close()
    assert fit(config).state == "finished"


@pytest.mark.slow
def test_the_last_step_is_validated_even_between_two_validations(small):
    run = fit(small(trainer={"max_steps": 13}))
    assert run.metrics()["val/mse"][0] == [10, 13]
    assert fit(small("short", trainer={"max_steps": 3})).metrics()["val/mse"][0] == [3]


@pytest.mark.slow
def test_a_run_whose_time_is_up_before_its_first_validation_is_validated_and_tested(small):
    run = fit(small(trainer={"max_seconds": 0.001, "max_steps": 100_000, "val_every": 100_000, "patience": None}))
    assert run.state == "finished"
    assert 0 < run.status["step"] < 100_000
    assert run.metrics()["val/mse"][0] == [run.status["step"]]
    assert "mse" in run.summary()["test"]


@pytest.mark.slow
def test_early_stopping(small):
    # With a learning rate of almost nothing no validation improves on the first by chance for long.
    # The task has no plateau, on which patience would wait.
    run = fit(small(task={"name": "reber"}, optimizer=SGD(lr=1e-30), trainer={"max_steps": 200, "patience": 2}))
    assert run.summary()["steps"] == 30
    assert run.status["state"] == "finished"


def test_gradients_are_clipped_after_their_norm_is_recorded(small):
    config = small(optimizer=SGD(lr=1.0, momentum=0.0), trainer={"clip_norm": 1e-3, "max_steps": 1, "log_every": 1})
    torch.manual_seed(config.seed)
    before = {f"model.{name}": value.clone() for name, value in build_model(Spec(config)).named_parameters()}
    run = fit(config)
    assert run.metrics()["grad/norm"][1][0] > 0.05
    moved = torch.stack([(weights(run, "last")[name] - value).norm() for name, value in before.items()]).norm()
    # One step of plain SGD at rate 1 moves the weights by the clipped gradient.
    assert moved.item() == pytest.approx(1e-3, rel=1e-3)


@pytest.mark.slow
def test_seeds_of_data_and_weights_are_apart(small):
    same_weights = [fit(small(str(seed), data_seed=seed, trainer={"max_steps": 1, "log_every": 1})) for seed in (1, 2)]
    assert same_weights[0].metrics()["train/loss"] != same_weights[1].metrics()["train/loss"]
    same_data = [fit(small(f"w{seed}", seed=seed, data_seed=1, trainer={"max_steps": 1, "log_every": 1})) for seed in (1, 2)]
    assert same_data[0].metrics()["train/loss"] != same_data[1].metrics()["train/loss"]
    streams = [iter(TrainingStream(TASKS.build("adding"), seed, 4, lambda: 0)) for seed in (1, 1, 2)]
    first, again, other = (next(stream).x for stream in streams)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["f64", "bf16"])
def test_number_formats(small, precision):
    run = fit(small(trainer={"precision": precision}))
    assert run.state == "finished"
    dtype = torch.float64 if precision == "f64" else torch.float32  # bf16 computes in mixed precision, weights stay in f32
    assert weights(run, "best")["model.head.weight"].dtype == dtype


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"trainer": {"precision": "f16"}, "machine": Machine(device="cpu")}, "float16 trains only on a GPU"),
        ({"model": Model(backend="nonsense")}, "Unknown backend 'nonsense'"),
        ({"cell": {"name": "lstm", "forget_bia": 2.0}}, "Did you mean 'forget_bias'"),
        ({"task": {"name": "addin"}}, "Did you mean 'adding'"),
        ({"task": {"name": "continual_reber"}, "model": Model(bidirectional=True)}, "a stream without end"),
    ],
)
def test_what_cannot_be_trained_is_refused_before_anything_is_written(small, parts, message):
    config = small(**parts)
    with pytest.raises(UserError, match=message):
        check(Spec(config))
    with pytest.raises(UserError, match=message):
        fit(config)
    assert not Path(config.out).exists()


def test_identity_leaves_out_where_and_how_a_run_happens(small):
    config: Config = small()
    same = replace(config, out="elsewhere", machine=Machine(threads=2, allocator="system"), sweep="x", plugins=["a.py"])
    assert identity(asdict(config)) == identity(asdict(same))
    for changed in (replace(config, seed=1), replace(config, cell={"name": "cifg"}), small(trainer={"max_steps": 21})):
        assert identity(asdict(config)) != identity(asdict(changed))
    assert identity(asdict(config)) != identity(asdict(config), ["hash of a plugin"])


def test_memory_is_kept_unless_the_system_shall_manage_it(small, monkeypatch, caplog):
    asked = []

    def keep() -> str:
        asked.append("keep")
        return "no glibc here"

    monkeypatch.setattr("gatelab.training.prepare.keep_memory", keep)
    caplog.set_level("INFO", "gatelab")
    fit(small("system", machine=Machine(allocator="system")))
    assert asked == []
    fit(small("keep"))
    assert asked == ["keep"]
    assert "no glibc here" in caplog.text


def test_a_stream_is_one_long_sequence(small):
    """With a rate of 0 the chunks of a row, one after the other, give the scores of the row as a whole."""
    task = TASKS.build("continual_reber", strings=2)
    config = small(task={"name": "continual_reber", "strings": 2}, optimizer=AdamW(lr=1e-9), model=Model(hidden_size=4))
    torch.manual_seed(0)
    model = build_model(Spec(config))
    module = SequenceModule(model, Spec(config))
    chunks = [task.batch("train", 0, np.arange(number * 3, number * 3 + 3)) for number in range(4)]
    parts = [module._outputs(chunk, "train") for chunk in chunks]
    for row in range(3):
        valid = [int(chunk.lengths[row]) for chunk in chunks if chunk.lengths is not None]
        whole = torch.cat([chunk.x[row, :n] for chunk, n in zip(chunks, valid, strict=True)])
        found = torch.cat([part[row, :n] for part, n in zip(parts, valid, strict=True)])
        torch.testing.assert_close(found, model(whole[None])[0], rtol=FLOAT32, atol=FLOAT32)
    parts[-1].sum().backward()  # and no gradient flows into the chunk before, whose graph is still there
    assert not any(part.requires_grad for part in module._carried["train"])


def test_an_evaluation_begins_afresh_and_leaves_the_training_stream_alone(small):
    task = TASKS.build("continual_reber", strings=2)
    config = small(task={"name": "continual_reber", "strings": 2}, model=Model(hidden_size=4))
    module = SequenceModule(build_model(Spec(config)), Spec(config))
    trainer: Any = SimpleNamespace(loggers=[], global_step=0)
    module.trainer = trainer
    module._outputs(task.batch("train", 0, np.arange(8)), "train")
    before = module._carried["train"]
    scores = []
    for _ in range(2):
        with torch.no_grad():
            for batch in EvaluationBatches(task, "val"):
                module._evaluate(batch)
        module._finish_evaluation("val")
        scores.append(module.scores)
    assert scores[0] == scores[1]
    assert module._carried == {"train": before}
