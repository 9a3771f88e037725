"""What each command may import before it works: what it does not need costs its user seconds."""

import subprocess
import sys

import pytest

from gatelab.cli.commands import COMMANDS

SLOW = ("torch", "lightning", "torch._dynamo", "wandb", "hydra", "scipy", "numpy", "rich")
READ = ("compare", "status", "report", "dashboard", "plot", "importance")  # run directories
HELP = """
from gatelab.cli.main import main
main(["--help"])
main(["train", "--help"])
from gatelab.cli.commands import COMMANDS, Parser
for command in COMMANDS:
    if command not in ("reproduce", "compare", "plot"):
        Parser(command).format_help()
"""
IMPORTS = {
    "help": (HELP, SLOW),
    "what reads run directories": (
        "\n".join(f"import gatelab.cli.{command}" for command in READ),
        ("torch", "lightning", "torch._dynamo", "wandb", "hydra"),
    ),
    "what builds cells": (
        "\n".join(f"import gatelab.cli.{command}" for command in COMMANDS if command not in (*READ, "inspect", "bench")),
        ("lightning", "torch._dynamo", "wandb", "sympy", "sklearn"),
    ),
    "a page about a cell": (
        "from gatelab.cli.main import main\nmain(['list', 'cells'])\nmain(['explain', 'lstm'])",
        ("lightning", "torch._dynamo", "wandb", "sympy", "scipy"),
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", IMPORTS)
def test_a_command_imports_what_it_needs(name: str) -> None:
    code, forbidden = IMPORTS[name]
    look = f"{code}\nimport sys\nprint([name for name in {forbidden!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
