PYTHON ?= .venv/bin/python

.PHONY: check lint test demo

check: lint test

lint:
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m ruff check .
	$(PYTHON) -m mypy
	$(dir $(PYTHON))lint-imports

test:
	$(PYTHON) -m pytest

demo:
	$(PYTHON) -m edgesplit demo
