# Sourced by the other scripts: makes .venv and installs gatelab into it, once for each state of its requirements.
# usage: . scripts/setup.sh [EXTRA]    (EXTRA: dev for the tests)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

_extra="${1:-}"
_key="$(cat pyproject.toml scripts/constraints.txt | cksum | cut -d' ' -f1)"
_stamp=".venv/.gatelab-$_key${_extra:+-$_extra}"

_python() {
  local candidate
  for candidate in python3 python3.13 python3.12 python3.11; do
    if command -v "$candidate" >/dev/null && "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))'; then
      echo "$candidate"
      return
    fi
  done
  echo "gatelab needs Python 3.11, 3.12 or 3.13; python3 here is $(python3 --version 2>&1 || echo absent). Install one of them." >&2
  return 1
}

if [ ! -e "$_stamp" ]; then
  if [ ! -x .venv/bin/python ]; then
    "$(_python)" -m venv .venv || {
      rm -rf .venv
      echo "The virtual environment could not be made. On Debian and Ubuntu: apt-get install python3-venv" >&2
      exit 1
    }
  fi
  echo "Installing gatelab into .venv (once; a few minutes, most of it torch) ..." >&2
  .venv/bin/python -m pip install -qq --disable-pip-version-check \
    --constraint scripts/constraints.txt --editable ".${_extra:+[$_extra]}"
  touch "$_stamp"
fi
PATH="$PWD/.venv/bin:$PATH"
export PATH
