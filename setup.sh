#!/usr/bin/env bash
# Makes .venv once, installs the package into it, then runs the command that follows.
#   ./setup.sh python launch/run.py        the main job
#   ./setup.sh pytest                      the tests, but for the longest
# HH_VENV names another place for the environment, PYTHON another interpreter.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
venv="${HH_VENV:-$PWD/.venv}"

find_python() {
  local candidate
  for candidate in "${PYTHON:-}" python3 python3.12 python3.11 python3.13 python3.10; do
    [ -n "$candidate" ] || continue
    "$candidate" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 14))' \
      2>/dev/null && { echo "$candidate"; return; }
  done
  echo "error: Python 3.10 to 3.13 is needed; set PYTHON=/path/to/python" >&2
  exit 1
}

stamp="$(cat setup.cfg pyproject.toml | cksum)"
if [ "$(cat "$venv/hh_keras.stamp" 2>/dev/null)" != "$stamp" ]; then
  python="$(find_python)"
  echo "Setting up $venv (once) …" >&2
  "$python" -m venv "$venv"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --editable '.[test]'
  echo "$stamp" > "$venv/hh_keras.stamp"
fi
PATH="$venv/bin:$PATH" VIRTUAL_ENV="$venv" exec "$@"
