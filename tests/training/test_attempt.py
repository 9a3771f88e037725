"""What surrounds the training of a run."""

import json
from collections.abc import Callable

import pytest

from gatelab.config import Config
from gatelab.errors import UserError
from gatelab.runs import enqueue
from gatelab.training.fit import fit
from gatelab.training.spec import Spec


def test_a_run_of_a_newer_format_is_not_trained_again(small: Callable[..., Config]):
    config = small(trainer={"max_steps": 1})
    path = Spec(config).path
    enqueue(path, config.plain(), path.name.rpartition("-")[2])
    status = path / "status.json"
    text = json.dumps(json.loads(status.read_text()) | {"format": 2})
    status.write_text(text)
    before = sorted(path.iterdir())
    with pytest.raises(UserError, match=r"status\.json has format 2, but this version of gatelab reads format 1 \(use .*\)\.$"):
        fit(config)
    assert status.read_text() == text
    assert sorted(path.iterdir()) == before
