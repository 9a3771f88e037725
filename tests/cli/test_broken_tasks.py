"""A task of a user that breaks its contract: `gatelab train` refuses it before a run begins, once for all runs that share it."""

from collections.abc import Callable
from pathlib import Path

import pytest

Call = Callable[..., tuple[int, str, str]]

HEAD = """
from dataclasses import dataclass

from gatelab import option
from gatelab.tasks.adding import Adding


@dataclass(frozen=True)
class Mine(Adding):
    rows: int = option(8, "sequences of an evaluation")

"""
BROKEN = {
    "metric": ('    metric = "accuracy"\n', "Task 'mine': metrics of 'train' returns mse, but `metric` declares 'accuracy'"),
    "empty": ("    def size(self, split):\n        return 0 if split == 'test' else 8\n", "Task 'mine': size('test') returns 0"),
    "loss": (
        "    def loss(self, output, batch):\n        return output[:, 0]\n",
        "Task 'mine': loss of 'train' returns a tensor of",
    ),
    "label": (
        "    def loss(self, output, batch):\n        return output[:, 7].mean()\n",
        "Task 'mine': loss of 'train' raises IndexError: index 7 is out of bounds for dimension 1 with size 1 (",
    ),
}


@pytest.mark.parametrize(("text", "message"), BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("how", [["--dry-run"], ["-m", "seed=0,1"], []], ids=["dry-run", "sweep", "run"])
def test_a_broken_task_begins_no_run(gatelab: Call, tmp_path: Path, how: list[str], text: str, message: str) -> None:
    path = tmp_path / "mine.py"
    path.write_text(HEAD + text)
    status, out, err = gatelab("train", *how, f"plugins=[{path}]", "task=mine", f"out={tmp_path}/runs")
    assert (status, out) == (2, "")
    assert err.startswith(f"gatelab: {message}")
    assert f"({path}:" in err
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "runs").exists()


def test_a_sweep_checks_equal_tasks_once(gatelab: Call, tmp_path: Path) -> None:
    path, calls = tmp_path / "mine.py", tmp_path / "calls"
    path.write_text(
        HEAD + "    def constant(self, batch):\n"
        f"        with open({str(calls)!r}, 'a') as file:\n"
        "            file.write(f'{self.length} ')\n"
        "        return super().constant(batch)\n"
    )
    lengths = ["task.length=10,20", "seed=0,1,2", "cell=lstm,gru"]
    status, _, err = gatelab("train", "-m", "--dry-run", f"plugins=[{path}]", "task=mine", *lengths, f"out={tmp_path}/runs")
    assert status == 0
    assert err.startswith("12 runs: 12 to train.")
    assert calls.read_text().split() == ["10"] * 3 + ["20"] * 3  # each of the three splits
