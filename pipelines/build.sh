#!/usr/bin/env bash
# Packs the sample service with its version inside, so that code and version arrive in one deployment: the gate asks
# the slot for this version before it gets any traffic.
# Usage: pipelines/build.sh VERSION PACKAGE.zip
set -euo pipefail
cd "$(dirname "$0")/.."

version=${1:?usage: pipelines/build.sh VERSION PACKAGE.zip}
package=${2:?usage: pipelines/build.sh VERSION PACKAGE.zip}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp -R sample_function/. "$work"
find "$work" \( -name __pycache__ -o -name 'local.settings*.json' \) -prune -exec rm -rf {} +
printf '%s\n' "$version" >"$work/version.txt"
mkdir -p "$(dirname "$package")"
package=$(cd "$(dirname "$package")" && pwd)/$(basename "$package")
(cd "$work" && python3 -m zipfile -c "$package" ./*)
echo "built $version: $package"
