# Two commands on a fresh machine: `make site` and `make test`. Both stand on `make env`.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
# One torch thread for each worker: with two workers the default is many times slower.
RUN := OMP_NUM_THREADS=1 MPLBACKEND=agg $(BIN)/python
WORKERS ?= 2
CH ?= vae

.PHONY: help env site test check bench lab run slides notebooks exercises lock clean
help: ## this list
	@awk -F':.*## ' '/^[a-z]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' Makefile

env: $(STAMP) ## .venv from the lock, with the package installed
$(STAMP): pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "gensr needs Python 3.11 or newer; try: make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c requirements.lock -e '.[scale,export,dev]'
	@touch $(STAMP)

site: env ## the static website, in book/_build/html; executes no chapter
	$(RUN) tools/site.py

test: env site ## every test, notebooks included
	$(RUN) tools/notebooks.py --check
	$(RUN) tools/exercises.py --check
	$(RUN) -m pytest -n $(WORKERS) --dist loadfile tests
	$(RUN) -m pytest -n $(WORKERS) --dist loadfile --nbval-lax --nbval-current-env --nbval-sanitize-with tools/nbval_sanitize.cfg book/chapters

check: env ## lint, types and fast unit tests, for everyday use
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(RUN) -m pytest -n $(WORKERS) --dist loadfile -m 'not (slow or browser or grading)' tests

bench: env ## timings, as ratios measured side by side
	$(RUN) tools/bench.py

lab: env ## JupyterLab on the chapters
	$(BIN)/jupyter lab book/chapters

run: env ## execute one chapter again: make run CH=vae
	$(RUN) tools/notebooks.py --only $(CH) --force

notebooks: env ## bring every executed twin up to date
	$(RUN) tools/notebooks.py

exercises: env ## write the students' notebooks from solutions/
	$(RUN) tools/exercises.py

slides: site ## a chapter as slides that need no network: make slides CH=vae
	$(RUN) tools/slides.py $(CH)

lock: ## write requirements.lock anew from a clean environment
	$(PYTHON) tools/lock.py

clean: ## remove what can be made again; keeps the environment and the gradebook
	rm -rf book/_build book/_assets .pytest_cache .ruff_cache
