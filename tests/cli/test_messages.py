"""Bad input: one message that names what was given and what to do, exit status 2, nothing written."""

from pathlib import Path

import pytest

from gatelab.tasks import jsb

BAD = {
    "unknown command": (["trian"], ["Unknown command 'trian'", "'train'"]),
    "unknown cell": (["train", "cell=lstmm"], ["Unknown cell 'lstmm'", "Did you mean 'lstm'", "cifg"]),
    "unknown task": (["train", "task=addin"], ["Unknown task 'addin'", "Did you mean 'adding'"]),
    "unknown cell in a sweep": (["train", "-m", "cell=lstm,cfig"], ["Unknown cell 'cfig'", "Did you mean 'cifg'"]),
    "unknown option of a cell": (["train", "cell.forget_bia=2"], ["'forget_bia'", "Did you mean 'forget_bias'"]),
    "option of another cell": (["train", "cell=gru", "cell.forget_bias=2"], ["'forget_bias'", "option of cell"]),
    "unknown option of a task": (["train", "task.lenght=5"], ["'lenght'", "Did you mean 'length'"]),
    "unknown group": (["train", "taskk=adding"], ["'taskk'", "Did you mean 'task'"]),
    "unknown option of the model": (["train", "model.hidden=3"], ["'hidden'", "Did you mean 'hidden_size'"]),
    "added key": (["train", "+foo=1"], ["'foo'", "Available"]),
    "wrong type": (["train", "cell.forget_bias=abc"], ["cell.forget_bias=abc", "Float"]),
    "wrong type of a step count": (["train", "trainer.max_steps=x"], ["trainer.max_steps=x", "Integer"]),
    "wrong type in a sweep": (["train", "-m", "trainer.max_steps=5,x"], ["trainer.max_steps=x", "Integer"]),
    "out of bounds": (["train", "task.length=-5"], ["length", "-5", "at least 2"]),
    "negative rate": (["train", "optimizer.lr=-1"], ["lr", "greater than 0"]),
    "Nesterov without momentum": (["train", "optimizer=sgd", "optimizer.momentum=0", "optimizer.nesterov=true"], ["momentum is 0"]),
    "unknown choice": (["train", "trainer.precision=f17"], ["'f17'", "Did you mean 'f16'"]),
    "unknown optimiser": (["train", "optimizer=adam"], ["'adam'", "Did you mean 'adamw'"]),
    "unknown trainer": (["train", "trainer=dbug"], ["'dbug'", "Did you mean 'debug'"]),
    "unknown experiment": (["train", "experiment=demo/addin"], ["'demo/addin'", "Did you mean 'demo/adding'"]),
    "unknown backend": (["train", "model.backend=nonsense"], ["Unknown backend 'nonsense'", "eager"]),
    "several values without -m": (["train", "seed=0,1"], ["seed=0,1", "-m"]),
    "no key=value": (["train", "foo"], ["'foo'", "key=value"]),
    "missing plugin": (["train", "plugins=[nope.py]"], ["nope.py", "was not found"]),
    "plugins is no list": (["train", "plugins=nope.py"], ["must be a list"]),
    "missing folder": (["compare", "nowhere"], ["nowhere", "There is no folder"]),
    "unknown format": (["compare", "--format", "xml", "."], ["xml", "markdown"]),
    "unknown kind": (["list", "cell"], ["cell", "tasks"]),
    "unknown cell to time": (["bench", "--cells", "lstm,lstmm"], ["Unknown cell 'lstmm'", "Did you mean 'lstm'"]),
    "unknown option of a cell to time": (["bench", "--cells", "lstm:forget=1"], ["'forget'", "forget_bias"]),
    "an option to time without value": (["bench", "--cells", "lstm:forget_bias"], ["'forget_bias'", "option=value"]),
    "unknown baseline": (["bench", "--baseline", "lstmm"], ["Did you mean 'lstm'"]),
    "no shape": (["bench", "--shapes", "32x500"], ["'32x500'", "32x500x32x64"]),
    "no rounds": (["bench", "--repeats", "0"], ["--repeats is '0'", "at least 1"]),
    "no threads": (["bench", "--threads", "two"], ["--threads is 'two'", "at least 1"]),
    "unknown number format": (["bench", "--dtype", "float16"], ["float16", "float64"]),
    "no folder for the times": (["bench", "--json", "nowhere/a.json"], ["nowhere", "a.json"]),
    "no plugin to time": (["bench", "nope.py"], ["nope.py", "was not found"]),
    "shapes of training": (["bench", "--training", "--cells", "gru"], ["--training", "--cells"]),
    "training figures to keep": (["bench", "--training", "--keep"], ["--keep", "--training"]),
    "nothing to explain": (["explain", "foo=bar"], ["name a cell or a task"]),
    "unknown cell to print": (["kernels", "show", "lstmm"], ["Did you mean 'lstm'"]),
    "unknown option of a cell to print": (["kernels", "show", "cifg", "cell.peephole=true"], ["Did you mean 'peepholes'"]),
    "unknown format to print": (["kernels", "show", "lstm", "--dtype", "float16"], ["float16", "float64"]),
    "nothing to print": (["kernels", "show"], ["name one cell", "gatelab kernels show"]),
    "two cells to print": (["kernels", "show", "lstm", "gru"], ["name one cell"]),
    "a sweep to print": (["kernels", "show", "cell=lstm,gru"], ["name one cell"]),
    "unknown plugin to print": (["kernels", "show", "mine", "plugins=[nope.py]"], ["nope.py", "was not found"]),
    "part of the cache": (["kernels", "clear", "lstm"], ["'lstm'", "as a whole"]),
    "unknown action": (["kernels", "shwo"], ["shwo", "show"]),
    "unknown cell to explain": (["explain", "cell=lstmm"], ["Did you mean 'lstm'"]),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input(name, gatelab, tmp_path, monkeypatch):
    arguments, expected = BAD[name]
    monkeypatch.chdir(tmp_path)
    status, out, err = gatelab(*arguments)
    assert status == 2
    assert out == ""
    assert len(err.strip().splitlines()) == 1, err
    assert "Traceback" not in err
    for text in expected:
        assert text in err
    assert list(Path(tmp_path).iterdir()) == []


def test_a_plugin_that_breaks_says_where(gatelab, tmp_path):
    (tmp_path / "mine.py").write_text("import gatelab\n1 / 0\n")
    status, _, err = gatelab("train", f"plugins=[{tmp_path}/mine.py]", "cell=mine")
    assert status == 2
    assert "mine.py" in err
    assert "ZeroDivisionError" in err


def test_a_missing_data_set_is_refused_before_training(gatelab, tmp_path, monkeypatch):
    monkeypatch.setenv("GATELAB_DATA_MIRROR", str(tmp_path / "empty"))
    jsb._chorales.cache_clear()
    status, _, err = gatelab("train", "task=jsb", f"out={tmp_path}/runs")
    assert status == 2
    assert "GATELAB_DATA_MIRROR" in err
    assert not (tmp_path / "runs").exists()
