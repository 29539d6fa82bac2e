#!/usr/bin/env bash
# Checkov's rules for Bicep, and a look at every suppression: it must have a reason and must still suppress something.
# Checkov is large, so it lives in an environment of its own, made on the first run (about a minute) and reused.
# Usage: bicep/check.sh [PYTHON]   (PYTHON makes the environment; default python3)
set -euo pipefail
cd "$(dirname "$0")/.."

python="${1:-python3}"
tools=.tools/checkov
# Checkov asks for an older pycep, which cannot read lambdas and @onlyIfNotExists and skips such files silently.
wanted="checkov==3.3.30 pycep-parser==0.7.1"

if [ "$(cat "$tools/wanted" 2>/dev/null || true)" != "$wanted" ]; then
  echo "bicep/check.sh: making $tools (once)"
  rm -rf "$tools"
  "$python" -m venv "$tools"
  "$tools/bin/python" -m pip install -qq --disable-pip-version-check "checkov==3.3.30"
  "$tools/bin/python" -m pip install -qq --disable-pip-version-check --no-deps "pycep-parser==0.7.1"
  echo "$wanted" >"$tools/wanted"
fi

# --skip-download: its hints come from a service that is not needed, and waits when it is not there.
report="$tools/report.json"
"$tools/bin/checkov" --directory bicep --framework bicep --skip-download --soft-fail --output json >"$report" 2>"$tools/log"
exec "$python" bicep/check.py "$report" "$tools/log"
