# Everything a fresh machine needs: `make demo` and `make test` set up a virtual environment of their own first.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
DATA ?=

.PHONY: setup demo test test-cluster check format bench protos clean

setup: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[base,dev]'
	touch $@

demo: setup
	$(BIN)/python examples/demo.py $(if $(DATA),--data $(DATA))

test: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder

test-cluster: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m cluster

check: setup
	$(BIN)/ruff format --check asr training server tests proto examples benchmarks
	$(BIN)/ruff check asr training server tests proto examples benchmarks
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python proto/generate.py --check
	$(BIN)/buf lint proto
	$(BIN)/buf breaking proto --against proto/released.binpb

format: setup
	$(BIN)/ruff format asr training server tests proto examples benchmarks
	$(BIN)/ruff check --fix asr training server tests proto examples benchmarks

protos: setup
	$(BIN)/python proto/generate.py

bench: setup
	$(BIN)/python benchmarks/training_speed.py

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
