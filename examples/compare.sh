#!/usr/bin/env bash
# The reference run's values beside the published ones. Exit status 1 says that one lies outside its tolerance,
# which is a result and not an error; 2 says that the table could not be read.
set -u
cd "$(dirname "$0")/.."
nonideal compare results/reference --track crossbar
[ $? -le 1 ]
