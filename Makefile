# make demo    generate a child's CT, segment it, say where the pictures are
# make check   run the quick tests, for the work in between
# make test    run all tests; says what they cover
# make lint    check style, docstrings, complexity and types
# make clean   remove everything that make made
#
# All of it happens in this folder; .venv is made on demand and again when pyproject.toml or constraints.txt
# change.
#   PYTHON=python3.12     another Python (3.10 or later)
#   TORCH_INDEX=URL       another build of PyTorch; with TORCH_INDEX= the one of the package index (CUDA on Linux)

PYTHON ?= python3
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PIP := $(BIN)/python -m pip -qq --disable-pip-version-check
DEMO := demo
# Two tests at once, each with one thread of PyTorch: faster than one after the other with two
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q --numprocesses 2 --dist worksteal

.PHONY: help demo check test lint clean

help:
	@sed -n '/^#/!q;s/^# \{0,1\}//p' Makefile

demo: $(STAMP)
	$(BIN)/pediatric-renal-seg demo --output $(DEMO) --overwrite
	@echo
	@echo "The generated CT:     $(DEMO)/ct.nii.gz"
	@echo "Slices and 3D view:   $(DEMO)/result/preview.png"
	@echo "Models (STL):         $(DEMO)/result/models/"
	@echo "Volumes, diameters:   $(DEMO)/result/report.json"

check: $(STAMP)
	$(PYTEST) -m "not slow"

test: $(STAMP)
	$(PYTEST) --durations=10 --cov

# Folder by folder, because several have a conftest.py
lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/mypy PediatricRenalSeg Resources setup.py
	for folder in Testing/*/; do $(BIN)/mypy $$folder || exit; done

$(STAMP): pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { \
	  echo "No $(PYTHON) here. Install Python 3.10 or later (Debian: apt-get install python3 python3-venv)" >&2; \
	  echo "or name one: make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
	  echo "$(PYTHON) is older than Python 3.10; name a newer one: make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "$(PYTHON) cannot make virtual environments (Debian: apt-get install python3-venv)." >&2; exit 1; }
	@echo "Setting up $(VENV); this takes a few minutes once."
	@$(PYTHON) -m venv $(VENV)
	@test -z "$(TORCH_INDEX)" || \
	  $(PIP) install --no-deps --retries 1 --index-url $(TORCH_INDEX) --constraint constraints.txt torch 2>/dev/null || \
	  echo "$(TORCH_INDEX) has no fitting PyTorch or cannot be reached: taking the one of the package index."
	@$(PIP) install --constraint constraints.txt --editable '.[train,dev]'
	@$(BIN)/python -c 'import sys, ctypes.util as c; sys.exit(sys.platform == "linux" and not c.find_library("EGL"))' || \
	  echo "The 3D view in preview.png needs libEGL (Debian: apt-get install libegl1 libgl1-mesa-dri)."
	@touch $@

clean:
	rm -rf $(VENV) $(DEMO) build .pytest_cache .ruff_cache .mypy_cache .coverage PediatricRenalSeg/*.egg-info
	find PediatricRenalSeg Testing Resources -name __pycache__ -type d -prune -exec rm -rf {} +
