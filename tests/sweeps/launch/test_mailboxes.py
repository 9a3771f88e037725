"""What jobs and launchers leave for the command that started them is that command's, and not the next one's."""

from gatelab.errors import UserError
from gatelab.sweeps.launch import common, job
from gatelab.training.failures import RunFailedError

TINY = ["cell=rnn", "task=adding", "task.length=4", "model.hidden_size=2", "logger=none", "trainer.max_steps=1"]


def test_what_an_earlier_command_left_is_not_taken_for_the_result_of_this_one(gatelab, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    job.refused.append(UserError("An earlier command was refused."))
    job.failed.append(RunFailedError("An earlier run failed."))
    common.refused.append(UserError("An earlier launcher was refused."))
    status, _, said = gatelab("train", *TINY)
    assert status == 0
    assert "earlier" not in said
    assert not (job.refused or job.failed or common.refused)
