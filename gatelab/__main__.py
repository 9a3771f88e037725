"""`python -m gatelab`, which is what `torchrun -m gatelab train ...` starts."""

import os
import sys


def _leave_the_current_folder() -> None:
    """Takes the current folder, which `python -m` looks in first, from the path: a file there must not replace a module.

    It stays where gatelab itself was found in it, as in a checkout that is not installed.
    """
    here, home = os.getcwd(), os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    if not sys.flags.safe_path and sys.path[0] == here != home:
        del sys.path[0]


if __name__ == "__main__":
    _leave_the_current_folder()

    from gatelab.cli.main import main

    sys.exit(main())
