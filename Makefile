# `make demo` and `make test` work from a clean clone: they make .venv from python3 alone.
# A stamp per set of extras lets repeated runs skip the installation.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMPS := $(VENV)/stamps
TYPING := $(VENV)/typing
# The public face, as far as it does not stand in folders of its own; mypy follows what these
# modules import without reporting it.
FACE := headrace headrace.ops.api headrace.io.api headrace.data headrace.data.dataset \
	headrace.data.dataset_base headrace.data.dataset_transforms \
	headrace.data.dataset_grouping headrace.keras

.PHONY: demo test check ruff format mypy floors bench gpu cover clean

demo: $(STAMPS)/demo
	$(BIN)/python examples/digits.py --out out/digits

test: $(STAMPS)/test demo
	$(BIN)/pytest -n 2 --dist loadfile

check: ruff mypy floors

ruff: $(STAMPS)/test
	$(BIN)/ruff check
	$(BIN)/ruff format --check

format: $(STAMPS)/test
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

# The clone's folder may have any name; mypy sees it as `headrace` through a link.
mypy: $(STAMPS)/test
	mkdir -p $(TYPING) && ln -sfn ../.. $(TYPING)/headrace
	MYPYPATH=$(TYPING) $(BIN)/mypy -p headrace.face -p headrace.distribute $(addprefix -m ,$(FACE))

floors: $(STAMPS)/test
	$(BIN)/lint-imports

bench: $(STAMPS)/test
	$(BIN)/pytest benches --benchmark-enable --benchmark-only
	$(BIN)/python benches/versus

# On a machine with a GPU, with a Python that has CuPy there; nothing is installed.
GPU_PYTHON ?= python3
GPU_OUT ?= out/gpu

gpu:
	$(GPU_PYTHON) benches/gpu_all.py --tests --out $(GPU_OUT)

cover: $(STAMPS)/test
	$(BIN)/pytest -n 2 --dist loadfile --cov --cov-report=term --cov-report=html

$(STAMPS)/venv:
	$(PYTHON) -m venv $(VENV)
	mkdir -p $(STAMPS) && touch $@

$(STAMPS)/demo: pyproject.toml setup.py | $(STAMPS)/venv
	$(BIN)/pip install --quiet -e '.[demo]'
	touch $@

$(STAMPS)/test: pyproject.toml setup.py | $(STAMPS)/venv
	$(BIN)/pip install --quiet -e '.[test]'
	touch $(STAMPS)/demo $@

clean:
	rm -rf build dist *.egg-info out htmlcov .coverage* .pytest_cache .mypy_cache .ruff_cache \
		.hypothesis .import_linter_cache .benchmarks
	find . -path ./$(VENV) -prune -o -name __pycache__ -type d -print0 | xargs -0 rm -rf
