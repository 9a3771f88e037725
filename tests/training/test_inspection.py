"""`gatelab inspect`: what it finds is what training found, and what it needs is said."""

import json
import math
import re

import numpy as np
import pytest
import torch
from cells.variants import each_kind

from gatelab.cli.main import main
from gatelab.config import Model
from gatelab.diagnostics import lyapunov, observe
from gatelab.errors import UserError
from gatelab.models import RNN, SequenceModel
from gatelab.tasks import TASKS
from gatelab.training.fit import fit
from gatelab.training.inspection import _dynamics, inspect, load


@pytest.mark.slow
@each_kind
def test_every_kind_of_cell_is_inspected(variant, small):
    cell, chosen = variant.cell(), {"name": variant.name, **variant.options}
    run = fit(small(cell=chosen, task={"name": "copying", "length": 3}, model=Model(hidden_size=4, num_layers=2)))
    found = inspect(run, "best", "test", 32)
    summary = run.summary()
    assert found["scores"] == pytest.approx(summary["test"])
    assert {f"recall/{slot}" for slot in range(10)} <= found["scores"].keys()
    assert found["step"] == summary["best_step"]
    assert found["sequences"] == 32
    recorded = {key for key in run.metrics() if key.partition("/")[0] in ("gate", "timescale", "state", "flow", "flow_end")}
    assert recorded <= found["scalars"].keys()
    assert run.last_arrays().keys() <= found["arrays"].keys()
    assert run.last_histograms().keys() == found["histograms"].keys()
    n = 4 * len(cell.state)
    if cell.memory is not None and cell.memory.window != 1:
        assert found["left_out"].keys() == {"lyapunov/*/*", "jacobian/*/*"}
    else:
        for layer in "01":
            values = found["arrays"][f"jacobian/{layer}/singular_values"]
            assert len(values) == n
            assert values == sorted(values, reverse=True)
            reason = found["left_out"].get(f"lyapunov/{layer}/*")
            assert (reason is None) == (f"lyapunov/{layer}/exponents" in found["arrays"])
            if reason is not None:  # 23 steps are too few for most cells
                assert "after 11 of 23 steps the largest exponent still depends on the start direction" in reason
                continue
            exponents = found["arrays"][f"lyapunov/{layer}/exponents"]
            assert exponents[0] == pytest.approx(found["scalars"][f"lyapunov/{layer}/largest"], rel=1e-3)
            assert 1 <= len(exponents) <= min(8, n)
            assert found["scalars"][f"lyapunov/{layer}/transient"] == 11
            assert exponents[0] <= math.log(found["scalars"][f"jacobian/{layer}/largest"]) + 1  # other steps than those 16
    inspect(run, "last", "val", 16)
    assert run.inspections().keys() == {"best/test", "last/val"}
    assert run.inspections()["best/test"]["scalars"].keys() == found["scalars"].keys()
    assert not [path for path in run.path.iterdir() if path.name.startswith(".inspect")]


def test_the_command_prints_a_page_and_says_what_is_wrong(small, capsys, tmp_path):
    run = fit(small(task={"name": "copying", "length": 3}, trainer={"max_steps": 10}))
    assert main(["inspect", str(run.path), "--split", "val"]) == 0
    page = capsys.readouterr().out
    for word in ("forget", "recall by slot", "timescale, median (steps)", "lyapunov/0/* is left out: after 11", "inspect.json"):
        assert word in page
    written = json.loads((run.path / "inspect.json").read_text())
    assert written.keys() == {"format", "best/val"}

    (run.path / "inspect.json").write_text(json.dumps(written | {"format": 2}))
    assert main(["inspect", str(run.path)]) == 2
    assert f"{run.path}: inspect.json has format 2, but" in capsys.readouterr().err
    (run.path / "inspect.json").unlink()

    def refused(*arguments: str) -> str:
        assert main(["inspect", *arguments]) == 2
        said = capsys.readouterr().err
        assert "Traceback" not in said
        return said

    (tmp_path / "empty").mkdir()
    assert "there is no run in" in refused(str(tmp_path / "empty"))
    assert "There is no folder" in refused(str(tmp_path / "nowhere"))
    assert "--sequences is 0" in refused(str(run.path), "--sequences", "0")
    assert "invalid choice: 'train'" in refused(str(run.path), "--split", "train")
    checkpoint = run.path / "checkpoints" / "best.ckpt"
    checkpoint.write_bytes(checkpoint.read_bytes()[:100])
    assert "cannot be loaded into the model of its own configuration" in refused(str(run.path))
    checkpoint.unlink()
    assert "has no checkpoint 'best' (best.ckpt); one is written at every validation" in refused(str(run.path))


def test_exponents_are_printed_with_their_spread(small, capsys):
    """A leaky layer settles: its two start directions agree."""
    run = fit(small(cell={"name": "leaky"}, task={"name": "copying", "length": 80}, trainer={"max_steps": 1, "probe_every": 0}))
    found = inspect(run, "best", "val", 4)
    assert found["left_out"] == {}
    assert found["scalars"]["lyapunov/0/largest_over_starts"] < 1e-3
    assert main(["inspect", str(run.path), "--split", "val", "--sequences", "4"]) == 0
    page = capsys.readouterr().out
    assert "half-life of the gradient (steps)" in page
    assert ("of an exponential fitted to it" in page) == (found["scalars"]["flow_end/0/state/r2"] >= 0.9)
    for word in ("largest Lyapunov exponent", "its range over start directions", "its standard deviation over sequences"):
        assert word in page


def test_both_directions_are_followed_along_the_states_they_visit():
    """Rows of different lengths: the reverse direction begins at the end of each row, not at that of the shortest."""
    torch.manual_seed(0)
    task = TASKS.build("copying", length=3)
    batch = task.batch("test", 0, np.arange(2))
    batch = batch._replace(lengths=torch.tensor([23, 9]))
    rnn = RNN("gru", task.input_size, 4, num_layers=2, bidirectional=True, batch_first=True)
    model = SequenceModel(rnn, task.output_size, task.readout, task.vocabulary).eval()
    found, _ = _dynamics(model, batch)
    with torch.no_grad(), observe.recording(model.rnn):
        model.rnn(model.encode(batch.x), lengths=batch.lengths)
        record, _ = model.rnn.recorded["1_reverse"]
    weights = model.rnn.layers["1_reverse"].weights()  # type: ignore[operator] - a ModuleDict of layers
    step = lyapunov.jacobian(model.rnn.cell, weights, record, torch.arange(9))
    values = lyapunov.singular_values(step, 4, torch.zeros(9, 2, 1))[:, 0].mean(0)
    assert found.arrays["jacobian/1_reverse/singular_values"] == pytest.approx(values.tolist(), rel=1e-3)


def test_a_checkpoint_of_another_model_is_refused(small):
    run = fit(small(trainer={"max_steps": 10}))
    path = run.path / "checkpoints" / "best.ckpt"
    kept = torch.load(path, weights_only=True)
    kept["state_dict"]["model.head.bias"] = torch.zeros(7)
    torch.save(kept, path)
    with pytest.raises(UserError, match=re.escape("best.ckpt cannot be loaded into the model of its own configuration: Error")):
        load(run, "best")


def test_a_model_records_no_more_after_an_error(small, monkeypatch):
    run = fit(small(task={"name": "copying", "length": 3}, trainer={"max_steps": 10}))
    model, task, _ = load(run, "best")

    def fails(x):
        raise RuntimeError("a fault")

    monkeypatch.setattr(model, "encode", fails)
    with pytest.raises(RuntimeError, match="a fault"):
        _dynamics(model, task.batch("test", 0, np.arange(4)))
    assert (model.rnn.recording, model.rnn.recorded) == (False, {})
