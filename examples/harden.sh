#!/usr/bin/env bash
# A network of yours, fine-tuned so that it keeps working with a tenth of its memory cells stuck.
#   examples/harden.sh [FOLDER]
set -eu
here=$(cd "$(dirname "$0")" && pwd)
out=${1:-$here/out}
mkdir -p "$out" && out=$(cd "$out" && pwd)
[ -f "$out/digits_fc.pt" ] || python "$here/digits.py" "$out"

cd "$here"  # digits:mlp is imported from here
nonideal harden digits:mlp --state "$out/digits_mlp.pt" --data "$out/digits.npz" \
    --faults 0.1 --bits 4 --alpha mean --epochs 8 --output "$out/hardened.pt" --table "$out/hardened.csv"

# Cells measured on a chip of yours instead of drawn ones: one line a stuck cell, the others are sound.
printf 'layer,row,column,bit,stuck\n3,0,0,3,1\n3,0,1,2,0\n' > "$out/my_chip.csv"
nonideal harden digits:mlp --state "$out/digits_mlp.pt" --faults "$out/my_chip.csv" --output "$out/written.pt"
