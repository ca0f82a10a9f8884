# demo   deploy the data project, import a repository's history and show what is in it
# test   the whole test suite; installs what it needs
# conformance  all tests of the official client, with and without the package that lets it parse SQL itself
# lint   formatting, lint rules, types
# bench  measurements against the bare engine (minutes)
# torture  long crash and load tests
# docs   regenerate the generated reference pages
# clean  remove everything the other targets made

PYTHON ?= python3
REPO ?= .
VENV := .venv
TB_VENV := .tb-venv
BIN := $(VENV)/bin
WORKERS := -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder

.PHONY: demo test conformance lint bench torture docs clean

demo: $(VENV)/installed
	$(BIN)/birdhouse demo --repo "$(REPO)" $(if $(SIMULATE),--simulate 200000) $(DEMO_ARGS)

test: $(VENV)/installed-dev $(TB_VENV)/installed
	$(BIN)/pytest -q $(WORKERS) $(PYTEST_ARGS)

conformance: $(VENV)/installed-dev $(TB_VENV)/installed
	$(BIN)/pytest -q $(WORKERS) tests/tb
	BIRDHOUSE_TB_WITH_LRU=1 $(BIN)/pytest -q $(WORKERS) tests/tb

lint: $(VENV)/installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(VENV)/installed-dev
	$(BIN)/python -m benchmarks

torture: $(VENV)/installed-dev
	$(BIN)/pytest -q -m torture

docs: $(VENV)/installed-dev
	$(BIN)/python -m docs.generate

clean:
	rm -rf $(VENV) $(TB_VENV) .birdhouse build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/bin/python:
	@scripts/make_venv "$(PYTHON)" $(VENV)

$(VENV)/installed: pyproject.toml | $(VENV)/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/installed-dev: pyproject.toml | $(VENV)/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@ $(VENV)/installed

$(TB_VENV)/installed: tests/tb/requirements.txt tests/tb/optional.txt
	@scripts/make_venv "$(PYTHON)" $(TB_VENV)
	$(TB_VENV)/bin/pip install --quiet --disable-pip-version-check -r tests/tb/requirements.txt
	$(TB_VENV)/bin/pip install --quiet --disable-pip-version-check --target $(TB_VENV)/with-lru -r tests/tb/optional.txt
	@touch $@
