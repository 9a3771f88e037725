"""A search in a process of its own, with a launcher that trains nothing: `searcher.py LOG OVERRIDE ...`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from searching import launcher, prepare

from gatelab.sweeps.jobs import compose


def main(log: str, *overrides: str) -> None:
    compose.register_schemas()
    search = prepare(compose.parse(["hydra/sweeper=optuna", *overrides]))
    print("ready", flush=True)
    sys.stdin.readline()
    search.run(launcher(Path(log), seconds=0.2))


if __name__ == "__main__":
    main(*sys.argv[1:])
