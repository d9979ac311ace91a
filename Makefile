# Two commands: `make demo` runs the instrument, `make test` passes the tests.
# Both make .venv first. Windows: the same lines stand in README.md.

ifeq ($(OS),Windows_NT)
BIN := .venv/Scripts
else
BIN := .venv/bin
endif
PYTHON ?= python3

.PHONY: demo test soak weights lint clean

demo: .venv/installed
	rm -rf runs/demo.zarr
	$(BIN)/opticalnet acquire --sample ss --grid 7 --out runs/demo.zarr
	$(BIN)/opticalnet reconstruct runs/demo.zarr

# A process for each core: torch's own threads would be in each other's way.
test: export OMP_NUM_THREADS = 1
test: .venv/installed-test
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile

# 100,000 points in a storm, and a sample that jumps; `make test` has a short one.
soak: .venv/installed-test
	$(BIN)/python benchmarks/soak.py
	$(BIN)/python benchmarks/soak_drift.py

# Trains the two networks that ship, side by side, a core each; once stopped, goes on.
weights: .venv/installed-test
	$(MAKE) --jobs=2 train-scan train-frame

train-%: export OMP_NUM_THREADS = 1
train-%:
	$(BIN)/opticalnet train --device cpu $(if $(wildcard runs/$*/last.safetensors),--resume runs/$*,--model $* --out runs/$*)
	$(BIN)/python -c "from pathlib import Path; from reconstruction.weights_file import halve; \
	  halve(Path('runs/$*/weights.safetensors'), Path('reconstruction/weights/$*.safetensors'))"

lint: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

INSTALL = $(BIN)/python -m pip install --quiet --constraint constraints.txt --editable

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(INSTALL) .
	touch $@

.venv/installed-test: .venv/installed
	$(INSTALL) ".[test]"
	touch $@

.venv/installed-dev: .venv/installed-test
	$(INSTALL) ".[dev]"
	touch $@

clean:
	rm -rf .venv runs
