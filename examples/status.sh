#!/usr/bin/env bash
# What of a run is done, running, failed or interrupted. Exit status 1 if a job failed or nothing has run.
set -u
cd "$(dirname "$0")/.."
nonideal status "$@"
[ $? -le 1 ]
