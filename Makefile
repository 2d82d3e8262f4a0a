# Every target sets up what it needs in .venv first (see .ci/setup); a second run is quick.
#   make test PYTHON=python3.12     uses that interpreter
#   make test PYTHONS="3.12 3.15"   also runs tests with these
#   make demo ARGS="--json PATH"    hands ARGS to the command

.PHONY: help demo test lint types docs unit versions engines newest release-check bench long observed proto build format clean run dev
.NOTPARALLEL:
.DEFAULT_GOAL := help

PYTHON =
PYTHONS =
ARGS =
NAME =
py = .venv/bin/python

# Tools keep their caches in the checkout, so that a read-only home is fine.
export XDG_CACHE_HOME := $(CURDIR)/.cache
export PYRIGHT_PYTHON_CACHE_DIR := $(CURDIR)/.cache/pyright
export IPYTHONDIR := $(CURDIR)/.cache/ipython
export JUPYTER_RUNTIME_DIR := $(CURDIR)/.cache/jupyter
export HYPOTHESIS_STORAGE_DIRECTORY := $(CURDIR)/.cache/hypothesis
export NO_MKDOCS_2_WARNING := true

help:
	@echo 'make demo    run the main job: analyse the standard library on worker processes'
	@echo 'make test    lint, types, docs, tests: what CI runs'
	@echo 'make lint    ruff check and ruff format --check'
	@echo 'make types   pyright'
	@echo 'make docs    build docs/ into site/, strictly'
	@echo 'make unit    the tests alone (ARGS="-k name" is handed to pytest)'
	@echo 'make versions  tests of contexts, wire and calls on each Python of PYTHONS, by default on all'
	@echo 'make engines  the tests of workers on Ray and Dask, in an environment of their own'
	@echo 'make newest  the tests with the newest release of every dependency, and what differs'
	@echo 'make bench   compare with peers, write docs/reference/benchmarks.md'
	@echo 'make release-check  what must hold before a release: version, changelog, wheel'
	@echo 'make long    run the long count NAME=...'
	@echo 'make observed  the integration suite, what it tells held against the catalog'
	@echo 'make proto   compile proto/ into src/catena/wire/v1'
	@echo 'make format  let ruff put the sources in form'
	@echo 'make build   wheels and source archives into dist/'
	@echo 'make clean   remove everything that was made here'
	@echo 'PYTHON=... chooses the interpreter (3.11 to 3.15) of .venv'

run dev:
	@PYTHON='$(PYTHON)' sh .ci/setup $@

demo: run
	@$(py) -m catena demo $(ARGS)

test: lint types docs
	@sh .ci/tests $(PYTHONS)
	@echo '== all good'

lint: dev
	@echo '== ruff check'
	@$(py) -m ruff check
	@echo '== ruff format --check'
	@$(py) -m ruff format --check

types: dev
	@echo '== pyright'
	@$(py) -m pyright --pythonpath $(py)

# Not --quiet: it would hide the warnings from --strict as well.
docs: dev
	@echo '== mkdocs build --strict'
	@$(py) -m mkdocs build --strict --site-dir site

unit: dev
	@echo '== pytest'
	@$(py) -m pytest $(ARGS)

versions: dev
	@sh .ci/versions $(PYTHONS)

engines: dev
	@sh .ci/engines $(ARGS)

newest:
	@sh .ci/newest $(ARGS)

release-check: dev
	@$(py) -m tests.release

bench: dev
	@$(py) tests/benchmarks/run.py $(ARGS)

long: dev
	@if [ -d tests/long ]; then $(py) -m tests.long $(NAME); \
	else echo 'there are no long counts yet'; fi

observed: dev
	@$(py) -m tests.observed $(ARGS)

proto: dev
	@$(py) proto/generate.py

format: dev
	@$(py) -m ruff check --fix --select I
	@$(py) -m ruff format

build: dev
	@$(py) -m build --no-isolation --outdir dist
	@$(py) -m build --no-isolation --outdir dist instrumentation

clean:
	rm -rf .venv .cache .hypothesis dist site
	find . -name .git -prune -o -name __pycache__ -prune -exec rm -rf {} +
