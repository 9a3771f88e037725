#!/usr/bin/env bash
# The second tier of tests: sweeps on a real Slurm, a real Ray and real databases, disturbed and compared bit for bit.
# usage: scripts/test_cluster.sh [pytest arguments]    (as root, or with sudo, on Debian; some minutes)
cd "$(dirname "${BASH_SOURCE[0]}")/.."

export CI=true # a test whose program is missing fails instead of being skipped
unset PYTHONDONTWRITEBYTECODE # without byte code Ray does not start in the half minute that it gives itself
packages=(slurm-wlm munge slurmdbd mariadb-server postgresql)
missing=()
for package in "${packages[@]}"; do
  [ "$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
done
root=()
[ "$(id -u)" = 0 ] || root=(sudo)
if [ "${#missing[@]}" -gt 0 ]; then
  "${root[@]}" apt-get update -qq
  "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends "${missing[@]}" >/dev/null
fi

. scripts/setup.sh cluster
export OMP_NUM_THREADS=1
# Files side by side: there is one Slurm on a machine, and one Ray.
exec "${root[@]}" env PATH="$PATH" CI="$CI" OMP_NUM_THREADS=1 python -m pytest -n 2 --dist loadfile tests/cluster "$@"
