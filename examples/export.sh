#!/usr/bin/env bash
# A trained network as integers for the C engine: header, .npz and JSON with golden vectors.
#   examples/export.sh [FOLDER]
set -eu
here=$(cd "$(dirname "$0")" && pwd)
out=${1:-$here/out}
[ -f "$out/digits_fc.pt" ] || python "$here/digits.py" "$out"

nonideal export "$out/digits_fc.pt" --data "$out/digits.npz" --output "$out/exported" --name digits --engine
