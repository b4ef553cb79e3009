# make run    the dashboard on the embedded stack        (PORT=8501)
# make lab    JupyterLab on notebooks/
# make test   all tests, two at a time; make lint: the linters
SHELL := /bin/bash
PORT ?= 8501
PY := .venv/bin/python

.PHONY: run lab test lint format clean

run: .venv/.installed
	@exec $(PY) -m streamlit run app.py --server.port $(PORT)

lab: .venv/.installed
	@exec .venv/bin/jupyter lab --ServerApp.root_dir=notebooks \
		--LabApp.app_settings_dir=$(CURDIR)/tools/jupyterlab \
		$(if $(filter 0,$(shell id -u)),--allow-root)

test: .venv/.installed
	@bash tools/install_chromium.sh
	@bash tools/install_node.sh
	@bash tools/install_pgbouncer.sh
	$(PY) -m pytest -n 2 --dist worksteal

lint: .venv/.installed
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

format: .venv/.installed
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

clean:
	rm -rf .venv build *.egg-info .pytest_cache .ruff_cache .mypy_cache

.venv/.installed: requirements.txt constraints.txt pyproject.toml
	@bash tools/make_venv.sh
	@touch $@
