# On a fresh machine you need two commands: `make demo` and `make test`. Each prints the commands that it runs.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo demo-reset test crash real lint constraints clean

# Ctrl-C stops the demo in order with exit 3, which make must not report as an error: the shell waits for batchcrew.
demo: .venv/installed
	@echo "$(BIN)/batchcrew run jobs/demo.yaml"
	@trap : INT; $(BIN)/batchcrew run jobs/demo.yaml || [ $$? -eq 3 ]

# Deletes only the batch `demo`. Exit 2 means that there is none. During a run of the batch, nothing is deleted (exit 4).
demo-reset: .venv/installed
	@echo "$(BIN)/batchcrew delete demo --yes"
	@test ! -e results/batchcrew.db || $(BIN)/batchcrew delete demo --yes || [ $$? -eq 2 ]

# About a minute and a half on two cores. There are more processes than cores because many tests wait.
test: .venv/installed-tests
	$(BIN)/pytest -n 5 --dist worksteal -m "not crash and not cron and not crewai"

crash: .venv/installed-tests
	$(BIN)/pytest -n 4 --dist worksteal -m "crash or cron"

# Installs the extra `crewai` and other clients of the crew API: more than a gigabyte.
real: .venv/installed-real
	$(BIN)/pytest -n 2 -m crewai

lint: .venv/installed-tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell

.venv/bin/pip:
	$(PYTHON) -m venv .venv

.venv/installed: .venv/bin/pip pyproject.toml constraints.txt
	$(BIN)/pip install --quiet -c constraints.txt -e .
	$(BIN)/python -m compileall -q batchcrew
	@touch $@

.venv/installed-tests: .venv/installed tests/requirements.txt
	$(BIN)/pip install --quiet -c constraints.txt -r tests/requirements.txt
	@touch $@

.venv/installed-real: .venv/installed-tests tests/real/requirements.txt tests/real/requirements-semantic-kernel.txt
	$(BIN)/pip install --quiet -c constraints.txt -e '.[crewai]' -r tests/real/requirements.txt
	$(BIN)/pip check
	$(PYTHON) -m venv .venv/semantic-kernel
	.venv/semantic-kernel/bin/pip install --quiet -r tests/real/requirements-semantic-kernel.txt
	@touch $@

constraints: .venv/installed-real
	( sed -n '/^#/p' constraints.txt; $(BIN)/pip freeze --exclude-editable --exclude batchcrew ) > .venv/constraints.txt
	mv .venv/constraints.txt constraints.txt

clean:
	rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
