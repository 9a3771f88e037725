#!/usr/bin/env bash
# The tests of configuration, commands and searches with another version of Hydra, in front of the one that is installed.
# usage: scripts/test_hydra.sh [HYDRA-CORE OMEGACONF]    (default: the pre-release 1.4.0rc3, with 2.4.1rc1)
. "$(dirname "${BASH_SOURCE[0]}")/setup.sh" dev

hydra="${1:-1.4.0rc3}" omegaconf="${2:-2.4.1rc1}"
folder="$PWD/.venv/hydra-$hydra-$omegaconf"
if [ ! -d "$folder" ]; then
  part="$folder.part"
  rm -rf "$part"
  python -m pip install -qq --disable-pip-version-check --no-deps --target "$part" "hydra-core==$hydra" "omegaconf==$omegaconf"
  mv "$part" "$folder"
fi
export PYTHONPATH="$folder" OMP_NUM_THREADS=1
python -c 'import hydra, omegaconf; print(f"hydra-core {hydra.__version__}, omegaconf {omegaconf.__version__}")'
tests=(tests/options tests/sweeps/jobs/test_{compose,compositions}.py tests/sweeps/search/test_{draws,search,space}.py tests/cli/test_{messages,train}.py)
exec python -m pytest -n auto "${tests[@]}" --deselect \
  tests/cli/test_train.py::test_lstm_beats_the_markov_baseline_on_real_chorales # nothing of Hydra, and long
