# Everything a newcomer or CI needs: make demo | test | check | docs | bench | clean. Needs Python >= 3.11 and nothing else.
PYTHON ?= python3
export OMP_NUM_THREADS ?= 1
export NO_MKDOCS_2_WARNING = 1
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test test-fast check docs docs-serve format bench nightly clean

.venv/main: pyproject.toml constraints.txt
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'glintbox needs Python >= 3.11, this is ' + sys.version)"
	$(PYTHON) -m venv .venv
	$(PIP) torch
	$(PIP) --editable ".[draw]"
	touch $@

.venv/dev: .venv/main
	$(PIP) --editable ".[dev]"
	touch $@

demo: .venv/main  ## ground the example scenes with the model in the box; pictures lie in demo/
	rm -rf demo
	$(BIN)/glintbox ground examples/demo.jsonl --out demo
	@echo "Look at the pictures in demo/: candidates thin, greedy dashed, the chosen box bold with its score."

test: .venv/dev  ## every test
	$(BIN)/python -m pytest -q -n auto

test-fast: .venv/dev  ## without the slow ones
	$(BIN)/python -m pytest -q -n auto -m "not slow"

check: .venv/dev  ## format, lint, types, tests, which build the documentation too: what CI runs
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q -n auto

docs: .venv/dev  ## this documentation as a site; open site/index.html
	$(BIN)/mkdocs build --strict

docs-serve: .venv/dev  ## the same, built anew whenever a page changes
	$(BIN)/mkdocs serve

format: .venv/dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: .venv/dev  ## the table of the README (about an hour on two cores)
	$(BIN)/python -m benchmarks.capture

nightly: .venv/dev  ## every table and figure of the paper on few validation scenes; look into nightly/results
	$(BIN)/glintbox reproduce all --quick --split validation --work nightly/work --out nightly/results

clean:
	rm -rf .venv demo nightly site
