#!/usr/bin/env bash
# Packages of this environment and their licences.
#   examples/sbom.sh [FOLDER]
set -eu
here=$(cd "$(dirname "$0")" && pwd)
nonideal sbom --output "${1:-$here/out}/sbom.json"
nonideal sbom --licences | head -n 5
