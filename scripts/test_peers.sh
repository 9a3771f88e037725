#!/usr/bin/env bash
# Cells against published implementations, with their weights copied over; prints what is equal and what differs.
# usage: scripts/test_peers.sh [VERSION OF TORCHRECURRENT]    (default: 0.2.5)
. "$(dirname "${BASH_SOURCE[0]}")/setup.sh" dev

version="${1:-0.2.5}"
folder="$PWD/.venv/torchrecurrent-$version"
if [ ! -d "$folder" ]; then
  part="$folder.part"
  rm -rf "$part"
  python -m pip install -qq --disable-pip-version-check --no-deps --target "$part" "torchrecurrent==$version"
  mv "$part" "$folder"
fi
export PYTHONPATH="$folder" OMP_NUM_THREADS=1
exec python -m pytest -q -s -n 0 tests/peers/torchrecurrent_cells.py
