#!/usr/bin/env bash
# Lint, format, types and the direction of imports.    usage: scripts/check.sh
. "$(dirname "${BASH_SOURCE[0]}")/setup.sh" dev

ruff check .
ruff format --check .
pyright
lint-imports
python scripts/english.py
python scripts/papers.py --check
python scripts/rooms.py --check
