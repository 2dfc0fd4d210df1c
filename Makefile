# Everything here is plain pip and python; the README gives the same commands for a machine without make.
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: run check clean

# Set up and run the main scenario.
run: $(VENV)/.installed
	$(BIN)/grid-cosim run scenarios/cold_evening.toml

# Set up and pass every check: format, lint, types, import contract, tests.
check: $(VENV)/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -n auto

$(VENV)/.installed: pyproject.toml constraints.txt
	python3 -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt
	python3 -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@

clean:
	rm -rf $(VENV)
