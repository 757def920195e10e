# Two commands: `make` sets up .venv and runs the default artefact; `make test` tests it.
# Everything else is a thin name for a command you could type yourself.

PYTHON ?= python3
UV_VERSION := 0.13.8
CORES ?= all
BIN := .venv/bin
# Recipes call the programs of the environment by name; the environment itself is made by a Python outside it.
OUTSIDE := $(PATH)
export PATH := $(CURDIR)/$(BIN):$(PATH)

.DEFAULT_GOAL := all
.PHONY: all setup test test-library test-workflow test-chaos test-slurm test-kubernetes status audit lint format bench reference lock clean help

all: setup  ## set up the environment, build the default artefact and its report page
	snakemake --cores $(CORES)
	@$(MAKE) --no-print-directory results/default/report.zip
	@echo 'Open results/default/index.html (every figure, table and claim) and results/default/paper.pdf.'
	@echo 'For snakemake and nonideal in this shell: source .venv/bin/activate'

setup: .venv/.synced  ## create .venv from requirements.lock

.venv/.synced: requirements.lock pyproject.toml
	@PATH='$(OUTSIDE)' $(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(None if v >= (3, 11) else "nonideal needs Python 3.11 or newer; $(PYTHON) is %d.%d. Try: make PYTHON=python3.11" % v[:2])'
	@PATH='$(OUTSIDE)' $(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "$(PYTHON) has no venv module. Install it (Debian, Ubuntu: apt install python3-venv) and run make again." >&2; exit 1; }
	PATH='$(OUTSIDE)' $(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	VIRTUAL_ENV=.venv $(BIN)/uv pip sync --compile-bytecode --require-hashes requirements.lock
	VIRTUAL_ENV=.venv $(BIN)/uv pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

# The workflow's tests wait for its jobs much of the time, so the library's run beside them; one thread each.
test: setup  ## correctness tests, under ten minutes on two cores
	@$(MAKE) --no-print-directory -j 2 test-library test-workflow

test-library: setup  ## those of the library alone
	OMP_NUM_THREADS=1 pytest -q --ignore tests/workflow

test-workflow: setup  ## those that run the workflow on tiny settings
	OMP_NUM_THREADS=1 pytest -q tests/workflow

test-chaos: setup  ## kill runs at random moments and fill the disk; prints the table of outcomes (minutes)
	pytest -m chaos tests/chaos

test-slurm: setup  ## run through a Slurm on this computer (root; apt-get install slurm-wlm munge)
	pytest -m slurm tests/slurm

# In a folder of their own: Snakemake loads every plugin it finds at each job's start, and this one takes seconds.
test-kubernetes: setup  ## plan a run through the Kubernetes profile (installs its plugins, contacts no cluster)
	VIRTUAL_ENV=.venv $(BIN)/uv pip install --quiet --target .venv/kubernetes --no-deps --require-hashes -r requirements-kubernetes.lock
	PYTHONPATH='$(CURDIR)/.venv/kubernetes' pytest -q tests/workflow -k kubernetes

status: setup  ## what of each run is done, running, failed or interrupted
	@python -m nonideal status

# Advisory: a vulnerability that becomes known must not stop anybody's run, so the exit status is ignored.
audit: setup  ## known vulnerabilities of the locked packages (needs the network), and the licences
	-$(BIN)/uv tool run pip-audit --requirement requirements.lock --require-hashes --disable-pip
	python -m nonideal sbom --licences

lint: setup  ## style of Python and of the workflow
	ruff check .
	ruff format --check .
	numpydoc lint $$(find src/nonideal -name '*.py')
	snakefmt --check workflow
	snakemake --lint

format: setup  ## rewrite the sources in the house style
	ruff check --fix .
	ruff format .
	snakefmt workflow

bench: setup  ## speed, as ratios inside one run
	python benchmarks/run.py

# The manifest is the last file a run makes, after the paper and the page with its captions: the report is as new
# as the run.
results/default/report.zip: results/default/manifest.json
	snakemake --report $@

reference: setup  ## commit the reduced run and the benchmarks as reference, their numbers to the README
	snakemake --configfile config/reduced.yaml --report results/reduced/report.zip
	python -m nonideal.reference results/reduced results/reference
	python benchmarks/run.py --keep
	python -m nonideal.readme

lock:  ## resolve pyproject.toml again into requirements.lock (needs the network); requirements-kubernetes.lock by hand
	$(BIN)/uv pip compile pyproject.toml --group dev --universal --generate-hashes --python-version 3.11 --quiet --output-file requirements.lock

clean:  ## remove the default run's results (the environment stays)
	rm -rf results/default

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12
