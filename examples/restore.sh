#!/usr/bin/env bash
# What a run could take from the reference. With the reduced run's configuration, and without --dry-run:
#   snakemake --cores all data --configfile config/reduced.yaml
#   nonideal restore results/reference --configfile config/reduced.yaml
set -eu
cd "$(dirname "$0")/.."
nonideal restore results/reference --dry-run "$@"
