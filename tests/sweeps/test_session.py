"""A command, and a process of a job, has a session of its own: nothing that an earlier one left is taken for its result."""

import ast
from pathlib import Path

import cloudpickle

import gatelab
from gatelab.errors import UserError
from gatelab.sweeps.launch.job import JobFunction
from gatelab.sweeps.session import Session
from gatelab.training.failures import RunFailedError

SWEEPS = Path(gatelab.__file__).parent / "sweeps"
EMPTY = {"list", "dict", "set", "deque", "defaultdict"}


def test_what_a_command_leaves_stays_in_its_process():
    session = Session(refused=[UserError("It was refused.")], failed=[RunFailedError("It failed.")])
    copy = cloudpickle.loads(cloudpickle.dumps(JobFunction(session)))
    assert isinstance(copy, JobFunction)
    assert copy.session == Session()
    assert copy.session is not session


def test_no_two_commands_share_what_they_compose():
    assert Session().composer is not Session().composer


def mailboxes(source: str) -> list[str]:
    """Names of a module that hold an empty container, which only functions could fill."""
    found = []
    for node in ast.parse(source).body:
        value = node.value if isinstance(node, (ast.Assign, ast.AnnAssign)) else None
        empty = isinstance(value, (ast.List, ast.Dict)) and not ast.dump(value).count("Constant")
        called = isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id in EMPTY and not value.args
        if empty or called:
            found.append(ast.unparse(node))
    return found


def test_no_module_of_sweeps_is_a_mailbox():
    assert mailboxes("refused: list[str] = []\n_planned = {}\n_seen = set()\nTABLE = {'a': 1}\nNAMES = ['x']") == [
        "refused: list[str] = []",
        "_planned = {}",
        "_seen = set()",
    ]
    found = {str(path): names for path in SWEEPS.rglob("*.py") if (names := mailboxes(path.read_text()))}
    assert not found
    assert not [path for path in SWEEPS.rglob("*.py") if "\n    global " in path.read_text()]
