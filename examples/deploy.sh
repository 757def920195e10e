#!/usr/bin/env bash
# A network on ten chips of phase-change memory, read from 20 seconds to a year after programming.
#   examples/deploy.sh [FOLDER]
set -eu
here=$(cd "$(dirname "$0")" && pwd)
out=${1:-$here/out}
mkdir -p "$out" && out=$(cd "$out" && pwd)
[ -f "$out/digits_fc.pt" ] || python "$here/digits.py" "$out"

cd "$here"  # digits:mlp is imported from here
nonideal deploy digits:mlp --state "$out/digits_mlp.pt" --data "$out/digits.npz" \
    --mapping max_fill --base 1 --slices 2 --chips 10 --times 20s 1h 30d 1y --output "$out/deployed.csv"
