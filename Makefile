# make demo   sets up .venv, prunes the shipped policy to 12 KiB of flash, proves it in closed loop
# make test   sets up .venv, runs the whole test suite
# make check  ruff, mypy and the fast tests
# make docs   builds the documentation into build/site

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.PHONY: demo test check docs clean

demo: $(READY)
	rm -rf build/demo
	$(BIN)/secateur prune tdmpc_cartpole --target stm32f446re --rate 500Hz --flash 12KiB --ram 3KiB \
	    --max-return-drop 5% --seed 0 -o build/demo

test: $(READY)
	$(BIN)/python -m pytest -n 2 --dist loadfile

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -m "not slow" -n 2 --dist loadfile

docs: $(READY)
	$(BIN)/mkdocs build --strict

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' || { echo "Python is" \
	    "3.11 or 3.12; $(PYTHON) is $$($(PYTHON) --version 2>&1). Name another: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade "pip>=24"
	$(BIN)/python -m pip install --quiet -e ".[dev]"
	touch $(READY)

clean:
	rm -rf .venv build dist
