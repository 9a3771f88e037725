#!/usr/bin/env bash
# Sweeps while killing random processes, repeats the command until all is finished, and compares every metric and weight with an
# undisturbed sweep. About 3 s a kill.
# usage: scripts/chaos.sh [--kills 200] [--seed 0] [--out DIR]    (Linux; does its own set-up)
. "$(dirname "${BASH_SOURCE[0]}")/setup.sh" "" # without it the arguments of this script would be those of that one

exec python scripts/chaos.py "$@"
