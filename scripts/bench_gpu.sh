#!/usr/bin/env bash
# Measures gatelab on a GPU in under 8 minutes: correctness of all cells, speeds, training, threads of the CPU; JSON out.
# usage: scripts/bench_gpu.sh [--sections accuracy,shapes] [--out bench_gpu.json] [--small]
# On a machine without a package index: GATELAB_PYTHON=python3 installs nothing and uses an interpreter that has torch, triton,
# lightning, scipy, scikit-learn, rich, jinja2 and joblib. What it lacks beside them can come as wheels in a folder on PYTHONPATH:
# orjson, pooch and platformdirs; for `gatelab train` also hydra-core, omegaconf and antlr4-python3-runtime (4.9.3 has no wheel:
# pip wheel makes one). Peers are measured where they are installed: flashrnn (with einops and ninja), pararnn-torch.
# The tests on a GPU: python3 -m pytest tests/models/test_rnn_on_cuda.py tests/training/test_training_on_cuda.py
if [ -n "${GATELAB_PYTHON:-}" ]; then
  set -euo pipefail
  cd "$(dirname "${BASH_SOURCE[0]}")/.."
  export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}" # its processes import nothing from the current folder
  exec "$GATELAB_PYTHON" -m gatelab.bench.gpu "$@"
fi
. "$(dirname "${BASH_SOURCE[0]}")/setup.sh" "" # without it the arguments of this script would be those of that one

exec python -m gatelab.bench.gpu "$@"
