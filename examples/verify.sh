#!/usr/bin/env bash
# Is the reference run what was written, to the last bit? Exit status 1 if not.
set -eu
cd "$(dirname "$0")/.."
nonideal verify results/reference
