"""Bad input: one message that names what was given and what to do, exit status 2, nothing written."""

from pathlib import Path

import pytest

from gatelab.tasks import jsb

RANDOM = ["train", "-m", "hydra/sweeper=random", "optimizer.lr=interval(1e-4,1e-2)"]
BAD = {
    "unknown command": (["trian"], ["Unknown command 'trian'", "'train'"]),
    "unknown cell": (["train", "cell=lstmm"], ["Unknown cell 'lstmm'", "Did you mean 'lstm'", "cifg"]),
    "unknown task": (["train", "task=addin"], ["Unknown task 'addin'", "Did you mean 'adding'"]),
    "unknown cell in a sweep": (["train", "-m", "cell=lstm,cfig"], ["Unknown cell 'cfig'", "Did you mean 'cifg'"]),
    "unknown option of a cell": (["train", "cell.forget_bia=2"], ["'forget_bia'", "Did you mean 'forget_bias'"]),
    "option of another cell": (["train", "cell=gru", "cell.forget_bias=2"], ["'forget_bias'", "option of cell"]),
    "unknown option of a task": (["train", "task.lenght=5"], ["'lenght'", "Did you mean 'length'"]),
    "option of a few tasks": (
        ["train", "-m", "task=adding,digits", "task.length=5"],
        ["option of task 'digits' 'length'. Available"],
    ),
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
    "hidden size of 20 digits": (
        ["train", "model.hidden_size=99999999999999999999"],
        ["hidden_size", "at most 92233720"],
    ),
    "larger than this machine": (["train", "model.hidden_size=9999999"], ["of memory", "model.hidden_size=9999999"]),
    "longer than this machine": (["train", "task.length=100000000000"], ["of memory", "task.length=100000000000"]),
    "wider than this machine": (["train", "trainer.batch_size=100000000000"], ["of memory", "trainer.batch_size=100000000000"]),
    "more layers than anyone": (["train", "model.num_layers=1000000000"], ["num_layers", "at most 10000"]),
    "empty range": (["train", "-m", "seed=range(0)"], ["seed=range(0)", "has no value"]),
    "range without a step": (["train", "-m", "seed=range(0,5,0)"], ["range(0,5,0)", "step"]),
    "more runs than a sweep has": (["train", "-m", "seed=range(100000000000)"], ["100,000,000,000 runs", "at most"]),
    "no trials": ([*RANDOM, "hydra.sweeper.trials=-1"], ["'trials' is -1", "at least 1"]),
    "trials that are a word": ([*RANDOM, "hydra.sweeper.trials=x"], ["'trials' is 'x'", "int"]),
    "unknown option of a sweeper": ([*RANDOM, "hydra.sweeper.trial=3"], ["'trial'", "Did you mean 'trials'"]),
    "interval without end": (
        ["train", "-m", "hydra/sweeper=random", "optimizer.lr=interval(1e-3,inf)"],
        ["interval(1e-3,inf)", "finite"],
    ),
    "jobs that are a word": (["train", "-m", "hydra.launcher.n_jobs=abc", "seed=0,1"], ["'n_jobs' is 'abc'", "int"]),
    "no jobs": (["train", "-m", "hydra.launcher.n_jobs=0", "seed=0,1"], ["'n_jobs' is 0", "at least 1, or -1"]),
    "jobs below -1": (["train", "-m", "hydra.launcher.n_jobs=-5", "seed=0,1"], ["'n_jobs' is -5"]),
    "unknown option of a launcher": (["train", "-m", "hydra.launcher.njobs=2", "seed=0,1"], ["'njobs'", "Did you mean 'n_jobs'"]),
    "unknown launcher": (["train", "-m", "hydra/launcher=foo", "seed=0,1"], ["Unknown hydra/launcher 'foo'", "local"]),
    "unknown sweeper": (["train", "-m", "hydra/sweeper=grd", "seed=0,1"], ["Unknown hydra/sweeper 'grd'", "Did you mean 'grid'"]),
    "unknown option of Hydra": (["train", "hydra.foo=1"], ["Unknown option of hydra 'foo'", "verbose"]),
    "a folder by way of Hydra": (["train", "hydra.run.dir=x"], ["hydra.run.dir", "out=runs"]),
    "a mode by way of Hydra": (["train", "hydra.mode=MULTIRUN"], ["hydra.mode", "-m"]),
    "another configuration": (["train", "--config-name", "foo"], ["--config-name", "one configuration"]),
    "another folder of configurations": (["train", "--config-dir", "foo"], ["--config-dir", "one configuration"]),
    "unknown flag": (["train", "--bogus"], ["--bogus", "--help"]),
    "a cell is deleted": (["train", "~cell"], ["~cell", "would delete"]),
    "an option is deleted": (["train", "~trainer.max_steps"], ["~trainer.max_steps", "would delete"]),
    "no cell": (["train", "cell=null"], ["Unknown cell 'null'"]),
    "no experiment": (["train", "experiment=null"], ["Unknown experiment 'null'"]),
    "a cell elsewhere": (["train", "cell@foo=gru"], ["cell@foo=gru", "Write cell=VALUE"]),
    "glob": (["train", "-m", "optimizer=glob(*)"], ["glob", "optimizer=adamw,sgd,rmsprop"]),
    "a quote is open": (["train", "logger.notes='abc"], ["logger.notes='abc", "a quote is not closed"]),
    "a bracket is open": (["train", "logger.tags=[a"], ["logger.tags=[a", "a bracket is not closed"]),
    "an empty override": (["train", ""], ["One override is empty", "key=value"]),
    "too short to train": (["train", "trainer.max_seconds=1e-9"], ["max_seconds", "at least 0.001"]),
    "an exponential to 0": (["train", "schedule.name=exponential"], ["final is 0", "schedule.final=0.01"]),
    "warm-up beyond the end": (["train", "schedule.warmup_steps=2000"], ["warmup_steps is 2000", "max_steps=1000"]),
    "saturation upside down": (["train", "trainer.saturated_below=0.95"], ["saturated_below is 0.95", "saturated_above is 0.9"]),
    "an infinite rate": (["train", "optimizer.lr=inf"], ["'lr' is inf", "finite"]),
    "an infinite time scale": (["train", "init=chrono", "init.t_max=inf"], ["'t_max' is inf", "finite"]),
    "nothing but dropout": (["train", "model.dropout=1"], ["'dropout' is 1.0", "less than 1.0"]),
    "a moment that never moves": (["train", "optimizer.beta1=1"], ["'beta1' is 1.0", "less than 1.0"]),
    "threads of no machine": (["train", "machine.threads=10000"], ["'threads' is 10000", "at most 1024"]),
    "a long tag": (["train", f"logger.tags=[{'x' * 70}]"], ["'tags'", "at most 64 characters"]),
    "a project with a slash": (["train", "logger.project=a/b"], ["'project' is 'a/b'", "must not contain"]),
    "no folder of runs": (["train", "out=''"], ["'out' is ''", "must not be empty"]),
    "a long folder of runs": (["train", f"out={'x' * 300}"], ["out=", "File name too long"]),
    "a search in one dictionary": (
        ["train", "-m", "hydra/sweeper=optuna", "hydra.sweeper={storage: 'postgresql://me:geheim@host/db'}"],
        ["hydra.sweeper cannot be given as a whole", "hydra.sweeper.storage="],
    ),
    "a password in a query": (
        ["train", "-m", "hydra/sweeper=optuna", "hydra.sweeper.storage='postgresql://me@host/db?sslpassword=geheim'"],
        ["USER:PASSWORD@HOST"],
    ),
    "missing folder": (["compare", "nowhere"], ["nowhere", "There is no folder"]),
    "unknown format": (["compare", "--format", "xml", "."], ["xml", "markdown"]),
    "a level that is no number": (["compare", "--level", "solved", "."], ["--level is 'solved'", "must be a number"]),
    "a level that is nan": (["compare", "--level", "nan", "."], ["--level is nan", "must be a finite number"]),
    "a level that is infinite": (["compare", "--level=-inf", "."], ["--level is -inf", "must be a finite number"]),
    "unknown unit of time": (["compare", "--time", "hours", "."], ["hours", "steps", "seconds", "flops"]),
    "unknown kind": (["list", "cell"], ["cell", "tasks"]),
    "unknown cell to time": (["bench", "cell=lstm,lstmm"], ["Unknown cell 'lstmm'", "Did you mean 'lstm'"]),
    "unknown option of a cell to time": (["bench", "lstm", "cell.forget=1"], ["'forget'", "forget_bias"]),
    "an option to time without value": (["bench", "lstm", "cell.forget_bias"], ["'cell.forget_bias'", "Available"]),
    "unknown baseline": (["bench", "--baseline", "lstmm"], ["Did you mean 'lstm'"]),
    "no shape": (["bench", "--shapes", "32x500"], ["'32x500'", "32x500x32x64"]),
    "no rounds": (["bench", "--repeats", "0"], ["--repeats is 0", "at least 1"]),
    "no threads": (["bench", "--threads", "two"], ["--threads is 'two'", "must be a whole number"]),
    "unknown number format": (["bench", "--dtype", "float16"], ["float16", "float64"]),
    "what is not about a cell to time": (["bench", "lstm", "seed=3"], ["seed=3", "cell.OPTION=VALUE"]),
    "two to check with options": (["check", "cell=lstm,gru"], ["name a cell or a task"]),
    "unknown name to explain": (["explain", "adings"], ["Unknown cell or task", "Did you mean 'adding'"]),
    "no plugin to time": (["bench", "nope.py"], ["nope.py", "was not found"]),
    "shapes of training": (["bench", "--training", "gru"], ["--training", "cells"]),
    "training figures to keep": (["bench", "--training", "--keep"], ["--keep", "--training"]),
    "nothing to explain": (["explain", "foo=bar"], ["name a cell or a task"]),
    "unknown cell to print": (["kernels", "show", "lstmm"], ["Did you mean 'lstm'"]),
    "unknown option of a cell to print": (["kernels", "show", "cifg", "cell.peephole=true"], ["Did you mean 'peepholes'"]),
    "unknown format to print": (["kernels", "show", "lstm", "--dtype", "float16"], ["float16", "float64"]),
    "nothing to print": (["kernels", "show"], ["name one cell", "gatelab kernels show"]),
    "two cells to print": (["kernels", "show", "lstm", "gru"], ["name one cell"]),
    "a sweep to print": (["kernels", "show", "cell=lstm,gru"], ["name one cell"]),
    "unknown plugin to print": (["kernels", "show", "mine", "plugins=[nope.py]"], ["nope.py", "was not found"]),
    "part of the cache": (["kernels", "clear", "lstm"], ["'lstm'", "takes no cell"]),
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
    assert "geheim" not in err
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
