"""`gatelab inspect`: what it finds is what training found, and what it needs is said."""

import json
import math
import re

import numpy as np
import pytest
import torch

from gatelab.cells import CELLS
from gatelab.cli.main import main
from gatelab.config import Model
from gatelab.errors import UserError
from gatelab.training.fit import fit
from gatelab.training.inspection import _dynamics, inspect, load


@pytest.mark.slow
@pytest.mark.parametrize("name", CELLS.names())
def test_every_cell_is_inspected(name, small):
    run = fit(small(cell={"name": name}, task={"name": "copying", "length": 3}, model=Model(hidden_size=4, num_layers=2)))
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
    n = 4 * len(CELLS.build(name).state)
    if CELLS.build(name).memory is not None:
        assert found["left_out"].keys() == {"lyapunov/*/*", "jacobian/*/*"}
    else:
        assert found["left_out"] == {}
        for layer in "01":
            values, exponents = found["arrays"][f"jacobian/{layer}/singular_values"], found["arrays"][f"lyapunov/{layer}/exponents"]
            assert len(values) == n
            assert values == sorted(values, reverse=True)
            assert exponents[0] == pytest.approx(found["scalars"][f"lyapunov/{layer}/largest"], rel=1e-3)
            assert len(exponents) == min(8, n)
            assert exponents[0] <= math.log(found["scalars"][f"jacobian/{layer}/largest"]) + 1  # other steps than those 16
    inspect(run, "last", "val", 16)
    assert run.inspections().keys() == {"best/test", "last/val"}
    assert run.inspections()["best/test"]["scalars"].keys() == found["scalars"].keys()
    assert not [path for path in run.path.iterdir() if path.name.startswith(".inspect")]


def test_the_command_prints_a_page_and_says_what_is_wrong(small, capsys, tmp_path):
    run = fit(small(task={"name": "copying", "length": 3}, trainer={"max_steps": 10}))
    assert main(["inspect", str(run.path), "--split", "val"]) == 0
    page = capsys.readouterr().out
    for word in ("forget", "recall by slot", "timescale, median (steps)", "largest Lyapunov exponent", "inspect.json"):
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
