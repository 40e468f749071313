PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CLIENTS := .venv-clients
OLDEST := .venv-oldest
# Seen as one package by mypy, which does not follow the mapping of folders to packages in pyproject.toml.
TYPES := build/mypy

OLDEST_TESTS := tests/test_goldens.py tests/conformance/test_digest.py tests/conformance/test_archive.py \
	tests/conformance/test_compare.py tests/laws/test_laws.py tests/laws/test_thresholds.py

# What `make gpu` takes: the seconds it may take in all, the device (cpu is a rehearsal), anything for small sizes,
# and the record of a run that is to be completed.
BUDGET ?= 300
DEVICE ?= cuda
QUICK ?=
RESUME ?=

.PHONY: demo test oldest lint format docs notebooks bench gpu clients dist clean

demo: $(VENV)/.audit
	$(BIN)/assigncore audit --out out/demo

test: $(VENV)/.dev
	$(BIN)/python -m pytest -n 2 --dist worksteal

# The oldest versions that are declared, on what needs neither PyTorch nor JAX.
oldest: $(OLDEST)/.ready
	$(OLDEST)/bin/python -m pytest -n 2 -p no:cacheprovider -k "not torch and not jax" $(OLDEST_TESTS)

$(OLDEST)/.ready: .ci/oldest.txt pyproject.toml
	$(PYTHON) -m venv $(OLDEST)
	$(OLDEST)/bin/python -m pip install --quiet --requirement .ci/oldest.txt --editable .
	touch $@

lint: $(VENV)/.dev $(TYPES)/assigncore
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/zizmor --offline --quiet --config .github/zizmor.yml .github/workflows
	cd $(TYPES) && MYPYPATH=. $(CURDIR)/$(BIN)/mypy --config-file $(CURDIR)/pyproject.toml --cache-dir $(CURDIR)/.mypy_cache -p assigncore

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Without a network; warnings, links that lead nowhere and what a browser would fetch from elsewhere are errors.
docs: $(VENV)/.docs
	$(BIN)/python docs/website --out build/website

notebooks: $(VENV)/.dev
	$(BIN)/python docs/website/execute_notebooks.py

bench: $(VENV)/.dev
	$(BIN)/python benchmarks/run.py

# Runs from the bare checkout, with the packages that $(PYTHON) has: there may be no network to install others.
# What a CUDA device shows is evidence to commit; a rehearsal is not.
ifeq ($(DEVICE),cuda)
GPU_RECORD := benchmarks/gpu/results.json
GPU_PAGE := docs/gpu.md
else
GPU_RECORD := out/gpu/gpu.json
GPU_PAGE := out/gpu/gpu.md
endif

gpu:
	$(PYTHON) benchmarks/gpu --device $(DEVICE) --budget $(BUDGET) $(if $(QUICK),--quick) \
		$(if $(RESUME),--resume $(RESUME)) --json $(GPU_RECORD) --page $(GPU_PAGE)

# An environment of its own, since the frameworks ask for versions of their own; it takes gigabytes.
clients: $(CLIENTS)/.ready
	$(CLIENTS)/bin/python clients/run.py

$(CLIENTS)/.ready: Makefile
	$(PYTHON) -m venv $(CLIENTS)
	$(CLIENTS)/bin/python -m pip install --quiet --editable . torch==2.14.1 torchvision==0.29.1 \
		transformers==5.24.0 ultralytics==8.4.190 mmengine==0.10.7 pycocotools shapely terminaltables prettytable \
		six scikit-learn timm setuptools==79.0.1 fvcore==0.1.5.post20221221 iopath==0.1.10 yacs==0.1.8 \
		omegaconf==2.3.1 hydra-core==1.3.8 tabulate termcolor cloudpickle
	$(CLIENTS)/bin/python -m pip install --quiet --no-deps mmcv-lite==2.1.0
	$(CLIENTS)/bin/python -m pip install --quiet --no-deps --target build/clients/mmdet mmdet==3.3.0
	$(CLIENTS)/bin/python -m pip install --quiet --no-deps --target build/clients/mmyolo mmyolo==0.6.0
	$(CLIENTS)/bin/python -m pip install --quiet --no-deps --target build/clients/detr detr==0.1.4
	# Of MMRotate the config files alone are read.
	$(CLIENTS)/bin/python -m pip install --quiet --no-deps --target build/clients/mmrotate mmrotate==0.3.4
	$(CLIENTS)/bin/python -m pip install --quiet --no-deps --target build/clients/mmrotate1 mmrotate==1.0.0rc1
	# MMCV 1 asks setuptools for what later versions have not, so it is built with the one installed above.
	$(CLIENTS)/bin/python -m pip install --quiet --no-deps --no-build-isolation --target build/clients/mmdet2 \
		mmcv==1.7.2 mmdet==2.28.2
	# Detectron2's Python, as somebody has put it on the index; its operations stay as they are, not compiled.
	$(CLIENTS)/bin/python -m pip download --quiet --no-deps --no-build-isolation --no-binary :all: \
		--dest build/clients detectron2-cdo==0.5
	tar -xzf build/clients/detectron2_cdo-0.5.tar.gz -C build/clients
	touch $@

dist: $(VENV)/.dist
	rm -rf dist
	$(BIN)/pyproject-build
	$(BIN)/python -m twine check --strict dist/*

# Each stamp says that the environment holds an extra of the project as pyproject.toml states it.
$(VENV)/.%: pyproject.toml | $(VENV)
	$(BIN)/python -m pip install --quiet --editable ".[$*]"
	touch $@

$(VENV):
	$(PYTHON) -m venv $(VENV)

$(TYPES)/assigncore: Makefile assigncore
	rm -rf $(TYPES)
	mkdir -p $@
	cd $@ && for entry in ../../../assigncore/*; do ln -s $$entry .; done
	ln -s ../../../adapters ../../../conformance $@

clean:
	rm -rf $(VENV) $(CLIENTS) $(OLDEST) build dist out *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
