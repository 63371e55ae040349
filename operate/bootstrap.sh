#!/usr/bin/env bash
# Makes .venv with the locked dependencies. Needs Python 3.11 or newer, and nothing else on Debian as root.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() { echo "error: $1" >&2; exit 2; }

python=${PYTHON3:-python3}
command -v "$python" >/dev/null || fail "no python3 on the PATH; install Python 3.11 or newer (Debian: apt-get install python3)."
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
  fail "$("$python" --version) is too old; install Python 3.11 or newer, or name one with PYTHON3=/path/to/python3."

if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
  # Debian keeps these two modules in a package of their own.
  if [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null; then
    echo "installing python3-venv from Debian's packages ..."
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq python3-venv; } >/dev/null ||
      fail "python3-venv could not be installed; run 'apt-get install python3-venv' and see why."
  else
    fail "Python's venv module is missing; install it (Debian: apt-get install python3-venv) and run the command again."
  fi
fi

echo "installing the locked Python dependencies into .venv ..."
[[ -x .venv/bin/python ]] || "$python" -m venv .venv
# uv takes a quarter of pip's time, but knows nothing of an index that only pip was told of.
install() { .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement "$1"; }
{ install <(sed -n '/^uv==/,/[^\\]$/p' requirements.txt) &&
  .venv/bin/uv pip install --quiet --python .venv/bin/python --require-hashes --requirement requirements.txt 2>/dev/null; } ||
  install requirements.txt ||
  fail "the dependencies could not be installed; pip's words are above. Run the same command again when that is mended."
touch .venv/.complete
