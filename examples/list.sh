#!/usr/bin/env bash
# What the workflow builds, and what of it concerns the crossbar.
set -eu
cd "$(dirname "$0")/.."
nonideal list
nonideal list crossbar
