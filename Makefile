# The commands of this repository. `make demo` and `make test` do the whole set-up on a fresh machine.

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
INTEROP := .venv-interop/.installed
DEMO := demo

# the fields here are small: a second thread costs more than it brings, and a great deal more on a busy machine
export OMP_NUM_THREADS ?= 1

.PHONY: help setup interop demo test test-slow bench lint clean

help:
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(INSTALLED)  ## create .venv with the pinned, tested set of packages

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[test,lint]"
	touch $@

interop: $(INTEROP)  ## create .venv-interop: The Well, xarray and VTK, which read our files in tests/interop

# The Well pins an fsspec that lightning-fabric does not want, hence a second environment. It takes torch and everything else
# that it does not install itself from .venv, through a .pth file.
$(INTEROP): $(INSTALLED)
	$(PYTHON) -m venv .venv-interop
	site=$$(.venv-interop/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))'); \
	$(BIN)/python -c 'import sysconfig; print("import site; site.addsitedir(%r)" % sysconfig.get_path("purelib"))' > "$$site/main-environment.pth"
	.venv-interop/bin/python -m pip install --quiet the-well==1.2.0 xarray==2026.9.0 h5netcdf==1.8.2 vtk==9.7.2
	touch $@

demo: $(INSTALLED)  ## generate Darcy data, train an operator, check it, write a report: one to two minutes
	$(BIN)/sciml generate darcy --set problem.resolution=32 --samples 480 --seed 0 --workers 2 --out $(DEMO)/data
	$(BIN)/sciml verify $(DEMO)/data
	$(BIN)/sciml train $(DEMO)/data --model fno --hidden-channels 16 --modes 12 --epochs 12 --out $(DEMO)/run
	$(BIN)/sciml evaluate $(DEMO)/run --resolution 64
	$(BIN)/sciml evaluate $(DEMO)/run --gate 0.08
	$(BIN)/sciml report $(DEMO)/run --out $(DEMO)/report.html --picture $(DEMO)/median.png

test: $(INSTALLED)  ## the default suite
	@$(MAKE) --no-print-directory interop || echo "no interop environment: tests/interop will be skipped"
	$(BIN)/python -m pytest -m "not slow"

test-slow: $(INSTALLED)  ## what takes longer: packaging, kills, browsers, training to the end
	$(BIN)/python -m pytest -m slow

bench: $(INSTALLED)  ## speed and accuracy beside named peers, in one run
	$(BIN)/python -m validation bench poisson-separable
	$(BIN)/python -m validation bench auto
	$(BIN)/python -m validation bench operator-training

lint: $(INSTALLED)  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/mypy

clean:  ## remove what the demo and the builds wrote
	rm -rf $(DEMO) build dist
