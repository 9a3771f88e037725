"""`python -m gatelab`, which is what `torchrun -m gatelab train ...` starts."""

import sys

from gatelab.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
