# On a fresh machine you need two commands: `make demo` and `make test`. Each prints the commands that it runs.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# What runs in a project's own interpreter.
OF_WORKERS := batchcrew/server/worker $(patsubst %,batchcrew/%.py,\
  server/workers/messages server/workers/frames server/report server/target base/edge base/text)
NOT_HERE := -m "not crash and not cron and not crewai and not browser"

# Without its cache of compiled tests, each of pytest's processes compiles all of them again: seconds each.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo demo-reset test coverage crash real browser pictures lint constraints clean

# Ctrl-C stops the demo in order with exit 3, which make must not report as an error: the shell waits for batchcrew.
demo: $(VENV)/installed
	@echo "$(BIN)/batchcrew run jobs/demo.yaml"
	@trap : INT; $(BIN)/batchcrew run jobs/demo.yaml || [ $$? -eq 3 ]

# Deletes only the batch `demo`. Exit 2 means that there is none. During a run of the batch, nothing is deleted (exit 4).
demo-reset: $(VENV)/installed
	@echo "$(BIN)/batchcrew delete demo --yes"
	@test ! -e results/batchcrew.db || $(BIN)/batchcrew delete demo --yes || [ $$? -eq 2 ]

# One to two minutes on two cores. There are more processes than cores because many tests wait.
test: $(VENV)/installed-tests
	$(BIN)/pytest -n 4 --dist worksteal $(NOT_HERE)

# The tests of `make test`, with the branches that they take, also in the programs that they start; twice the time.
coverage: $(VENV)/installed-tests
	$(BIN)/pytest -n 4 --dist worksteal $(NOT_HERE) --cov --cov-report=term \
	  --deselect tests/acceptance/test_cli_run.py::test_help_imports_nothing_heavy

crash: $(VENV)/installed-tests
	$(BIN)/pytest -n 4 --dist worksteal -m "crash or cron"

# Installs the extra `crewai`, an early crewai and other clients of the crew API: more than two gigabytes. A crewai in
# between is tested as well if `make .venv-crewai-0.203/installed` has installed it.
real: $(VENV)/installed-real .venv-crewai-0.100/installed
	$(BIN)/pytest -n 2 -m crewai

# Needs Chromium: Debian's package `chromium`, or CHROMIUM=/path/to/chrome.
browser: $(VENV)/installed-browser
	$(BIN)/pytest -n 2 --dist worksteal -m browser

# Writes docs/img/ from a real run. Needs tmux; and Chromium, as `make browser` does, for those of pages.
pictures: $(VENV)/installed
	$(BIN)/python docs/pictures.py

lint: $(VENV)/installed-tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy --python-version 3.10 --follow-imports silent $(OF_WORKERS)
	$(BIN)/lint-imports
	$(BIN)/codespell

$(VENV)/bin/pip:
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: $(VENV)/bin/pip pyproject.toml constraints.txt
	$(BIN)/pip install --quiet -c constraints.txt -e .
	$(BIN)/python -m compileall -q batchcrew
	@touch $@

$(VENV)/installed-tests: $(VENV)/installed tests/requirements.txt
	$(BIN)/pip install --quiet -c constraints.txt -r tests/requirements.txt
	@touch $@

$(VENV)/installed-browser: $(VENV)/installed-tests tests/browser/requirements.txt
	$(BIN)/pip install --quiet -c constraints.txt -r tests/browser/requirements.txt
	@touch $@

$(VENV)/installed-real: $(VENV)/installed-tests tests/real/requirements.txt tests/real/requirements-semantic-kernel.txt
	$(BIN)/pip install --quiet -c constraints.txt -e '.[crewai]' -r tests/real/requirements.txt
	$(BIN)/pip check
	$(PYTHON) -m venv $(VENV)/semantic-kernel
	$(VENV)/semantic-kernel/bin/pip install --quiet -r tests/real/requirements-semantic-kernel.txt
	@touch $@

# The interpreters of projects with other versions of crewai; each file names the Pythons that its version runs with.
.venv-crewai-%/installed: tests/real/requirements-crewai-%.txt
	$$(.ci/find-python $$(sed -n 's/^# python: //p' $<)) -m venv .venv-crewai-$*
	.venv-crewai-$*/bin/pip install --quiet -r $<
	@touch $@

constraints: $(VENV)/installed-real $(VENV)/installed-browser
	( sed -n '/^#/p' constraints.txt; $(BIN)/pip freeze --exclude-editable --exclude batchcrew ) > $(VENV)/constraints.txt
	mv $(VENV)/constraints.txt constraints.txt

clean:
	rm -rf .venv .venv-* .coverage* build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
