# make demo    a synthetic satellite image of examples/field.geojson in demo/
# make test    the tests; make test-slow: those that take long, the documents' commands and the notebooks among them
# make test-qgis  the QGIS plugin's tests in the QGIS of this machine, without a screen
# make lint    ruff, mypy and the import contracts
# make plugin  the QGIS plugin's zip in dist/ (needs Qt's lrelease; Debian and Ubuntu: package qttools5-dev-tools)
#
# Each makes .venv if need be. PYTHON=... chooses the interpreter that .venv is made from.

PYTHON ?=
ARGS ?=
PIP = .venv/bin/python -m pip install -qq --disable-pip-version-check
HAS_TORCH = -c "import importlib.util as u, sys; sys.exit(u.find_spec('torch') is None)"
# A torch that is already there is kept; where there is none, the tested version is installed.
PIN = $$(.venv/bin/python $(HAS_TORCH) || echo -c constraints.txt)
# A file's tests stay in one process; each takes one core and up to a gigabyte.
PROCESSES = --numprocesses auto --maxprocesses 4 --dist loadfile

.PHONY: demo test test-slow test-qgis lint plugin

demo: .venv/.core
	@mkdir -p demo
	.venv/bin/rsgeo generate --aoi examples/field.geojson --prompt "green fields and a forest" --preview demo/preview.png --overwrite demo/out.tif
	.venv/bin/rsgeo info demo/out.tif

test: .venv/.dev
	.venv/bin/python -m pytest $(PROCESSES) -m "not slow" $(ARGS)

test-slow: .venv/.dev
	.venv/bin/python -m pytest -m slow $(ARGS)

test-qgis: .venv/.core
	tests/qgis/run.sh $(ARGS)

lint: .venv/.dev
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/lint-imports --no-cache

plugin: | .venv/bin/python
	@.venv/bin/python qgis_plugin/build.py dist

.venv/bin/python:
	@for python in "$(PYTHON)" python3 python3.14 python3.13 python3.12 python3.11; do \
		"$$python" -c "import sys; sys.exit(sys.version_info < (3, 11))" 2>/dev/null && found="$$python" && break; \
		test -z "$(PYTHON)" || break; \
	done; \
	test -n "$$found" || { echo "rsgeo needs Python 3.11 or newer; install one, or name it: make PYTHON=/path/to/python3.11"; exit 1; }; \
	"$$found" $(HAS_TORCH) && site=--system-site-packages; \
	"$$found" -m venv $$site .venv || { rm -rf .venv; exit 1; }

.venv/.core: pyproject.toml constraints.txt | .venv/bin/python
	@echo "Installing rsgeo into .venv (a few minutes the first time) ..."
	@$(PIP) $(PIN) --editable .
	@touch $@

.venv/.dev: .venv/.core
	@echo "Installing what the tests need into .venv ..."
	@$(PIP) $(PIN) --editable ".[dev]"
	@touch $@
