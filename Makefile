# Every command of the house. A machine with nothing but Python 3.11 can run `make test` and `make demo`.

PYTHON ?= python3.11
VENV ?= .venv
PORT ?= 8000
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
RUNS := $(VENV)/.runs
DEVELOPMENT := ETALON_DEVELOPMENT=1
# worksteal: neighbours stay together, and what a module prepares is prepared once
PYTEST := $(BIN)/python -m pytest -n 2 --dist worksteal -q

.PHONY: demo demo-reset test test-postgres test-slow check bench messages screenshots lock clean

# hashes make sure that everybody runs the same bytes; the project itself runs from its folder
INSTALL = $(PYTHON) -m venv $(VENV) && \
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $< && touch $@
$(STAMP): requirements-dev.lock
	$(INSTALL)

$(RUNS): requirements.lock
	@echo "Etalon installs what it needs into $(VENV) ..."
	$(INSTALL)

# exec: a signal meets the demo itself
demo: $(RUNS)
	@$(DEVELOPMENT) exec $(BIN)/python manage.py demo --port $(PORT)

demo-reset: $(RUNS)
	@$(DEVELOPMENT) $(BIN)/python manage.py demo --reset

test: $(STAMP)
	$(DEVELOPMENT) DATABASE_URL=sqlite:///var/test.sqlite3 $(PYTEST)

# what touches no database need not run again
test-postgres: $(STAMP)
	$(DEVELOPMENT) $(BIN)/python -m tests.with_postgres -- $(PYTEST) --ignore tests/detection --ignore tests/appliance

test-slow: $(STAMP)
	$(DEVELOPMENT) DATABASE_URL=sqlite:///var/test.sqlite3 $(PYTEST) -m slow

check: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(DEVELOPMENT) $(BIN)/mypy
	$(BIN)/lint-imports
	$(DEVELOPMENT) $(BIN)/python manage.py makemigrations --check --dry-run

bench: $(STAMP)
	$(DEVELOPMENT) $(BIN)/python -m benchmarks

# what pages say, for translators; then what they wrote, for Django
messages: $(STAMP)
	$(DEVELOPMENT) $(BIN)/python -m tests.messages

# a picture of every page, light and dark, wide and narrow, of the house that the loop made
screenshots: $(STAMP)
	test -e var/once/etalon.sqlite3 || $(DEVELOPMENT) $(BIN)/python manage.py demo --once
	$(DEVELOPMENT) ETALON_VAR=var/once $(BIN)/python -m tests.screenshots var/screenshots $(SPEAKING)

# wheels only: nothing is built on the machine that installs
LOCK := $(BIN)/uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-build \
	--no-header --no-annotate --quiet
lock: | $(STAMP)
	$(LOCK) --upgrade --output-file requirements.lock
	$(LOCK) --upgrade --extra dev --constraints requirements.lock --output-file requirements-dev.lock

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache staticfiles
