# Everything here is plain pip and python; the README gives the same commands for a machine without make.
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: run check docs clean

# Set up and run the main scenario.
run: $(VENV)/.installed
	$(BIN)/grid-cosim run scenarios/cold_evening.toml

# Set up and pass every check: format, lint, types, import contract, documentation, tests.
check: $(VENV)/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/sphinx-build -W --keep-going -q -E -a -c docs . build/site
	$(BIN)/python -m pytest -n auto

# Set up and write the documentation as pages that need no server and no network.
docs: $(VENV)/.installed-dev
	$(BIN)/sphinx-build -W --keep-going -q -E -a -c docs . build/site
	@echo "Open build/site/docs/index.html"

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
