#!/usr/bin/env bash
# The tests.    usage: scripts/test.sh [--quick] [pytest arguments]
# --quick leaves out whole runs, real data and fresh environments.
. "$(dirname "${BASH_SOURCE[0]}")/setup.sh" dev

selection=()
if [ "${1:-}" = "--quick" ]; then
  shift
  selection=(-m "not slow")
fi
# One thread a worker: two workers with two threads each would only fight over two cores.
export OMP_NUM_THREADS=1
exec python -m pytest -n auto ${selection[@]+"${selection[@]}"} "$@"  # macOS has bash 3.2, where an empty list is unset
