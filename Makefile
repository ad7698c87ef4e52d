# Every target sets up its own environment in the checkout. Needed are git, make and python3 (3.11 or newer) with venv.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test samples lint docs bench attacks faults interruptions pulls interop udev notebooks clean

demo: .venv/ready
	$(BIN)/qhal demo

# Matrices are small: threads for them only wait for each other, and for the other tests.
test samples attacks interruptions pulls: export OPENBLAS_NUM_THREADS := 1
# Tests start hundreds of processes, each of which would compile the sources where compiled ones are not kept.
test samples attacks interruptions pulls: export PYTHONDONTWRITEBYTECODE :=

test: .venv/ready
	@echo "Running the tests: up to 6 minutes on two idle cores."
	$(BIN)/pytest -n 3 -m "not long"

samples: .venv/ready
	@echo "Running a sample of each long run (examples, demonstration, attacks, interruptions, pulls): about 4 minutes."
	$(BIN)/pytest -n 3 -m long

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: .venv/ready
	$(BIN)/python -m sphinx -q -W --keep-going -b html docs docs/_build
	@echo "The site is in docs/_build/index.html."

bench: .venv/ready .venv-sequence/ready .venv-tags/ready
	$(BIN)/python -m benchmarks

attacks: .venv/ready
	@echo "Running all attacks: up to an hour on two idle cores."
	$(BIN)/pytest -n 3 tests/attacks --attacks 1

faults: .venv/ready
	$(BIN)/python -m pytest tests/tags/test_faulty_stream.py --tags 1000000000 --timeout 3600

interruptions: .venv/ready
	$(BIN)/python -m pytest tests/calibration/test_interruptions.py --interruptions 0

pulls: .venv/ready
	$(BIN)/python -m pytest tests/calibration/test_cases.py --pull-seeds 200 --timeout 14400 -s
	$(BIN)/python -m pytest tests/demo/test_demo.py tests/demo/test_demo_reported.py --seeds 50 --timeout 7200

interop: .venv/ready .venv-interop/ready .venv-tm/ready .venv-tags/ready .venv-records/ready
	$(BIN)/python -m tests.interop

udev: .venv/ready
	$(BIN)/qhal udev > udev/70-qhal.rules

notebooks: .venv-notebooks/ready
	for script in bring_up_link characterise_detector set_up_transmitter; do \
		.venv-notebooks/bin/jupytext --quiet --to ipynb --output examples/$$script.ipynb \
			--update-metadata '{"jupytext": null, "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}' \
			examples/$$script.py; done

.venv/ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("qhal needs Python 3.11 or newer" if sys.version_info < (3, 11) else 0)'
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "$(PYTHON) lacks venv and ensurepip; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	@echo "Setting up .venv in this checkout, once: 900 MB on disk, about a minute on a fast network."
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

.venv-%/ready: tests/interop/constraints-%.txt
	$(PYTHON) -m venv .venv-$*
	.venv-$*/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	touch $@

clean:
	rm -rf .venv .venv-interop .venv-tm .venv-tags .venv-records .venv-sequence .venv-notebooks .mypy_cache .pytest_cache .ruff_cache docs/_build
