# Two commands do everything: `make demo` runs the main job, `make test` passes the tests. Both set up what they need.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PACKAGES := $(wildcard packages/*)
EDITABLE := $(foreach package,$(PACKAGES),-e $(package))
READY := $(VENV)/.ready
OUT ?= runs/demo

.DEFAULT_GOAL := help
.PHONY: help setup demo demo-pix2pix demo-pix2pixhd demo-singan demo-ugatit test lint types check docs notebooks demo-short matrix bench bench-gpu bench-short scaling evidence clean

help:  ## say what there is
	@grep -E '^[a-z0-9-]+:.*##' Makefile | sed -E 's/^([a-z0-9-]+):.*## /\1: /' | sed 's/: /|/' | column -t -s '|'

setup: $(READY)  ## make .venv and install (nothing the second time)

$(READY): constraints.txt $(addsuffix /pyproject.toml,$(PACKAGES))
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing PyTorch and the packages into $(VENV): about 7 GB, some minutes"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt \
	    torch torchvision scikit-image scikit-learn tensorboard torchmetrics av safetensors opencv-python-headless \
	    pytest pytest-benchmark hypothesis ruff mypy types-tqdm build hatchling editables wandb \
	    sphinx furo myst-parser myst-nb ipykernel nbclient nbformat matplotlib $(EDITABLE)
	touch $(READY)

demo: $(READY)  ## CycleGAN on real photographs, about four minutes on two cores (SEED=0, OUT=runs/demo)
	$(BIN)/i2i demo cyclegan --out $(OUT) --seed $(or $(SEED),0)

demo-pix2pix: $(READY)  ## pix2pix: pencil sketches into photographs, about two minutes (SEED=0, OUT=runs/demo-pix2pix)
	$(BIN)/i2i demo pix2pix --out $(if $(filter runs/demo,$(OUT)),runs/demo-pix2pix,$(OUT)) --seed $(or $(SEED),0)

demo-pix2pixhd: $(READY)  ## pix2pixHD: photographs from label maps in three stages, with styles and an edit (SEED=0)
	$(BIN)/i2i demo pix2pixhd --out $(if $(filter runs/demo,$(OUT)),runs/demo-pix2pixhd,$(OUT)) --seed $(or $(SEED),0)

demo-singan: $(READY)  ## SinGAN: samples, a film, a larger and a harmonised picture of one photograph (SEED=0)
	$(BIN)/i2i demo singan --out $(if $(filter runs/demo,$(OUT)),runs/demo-singan,$(OUT)) --seed $(or $(SEED),0)

demo-ugatit: $(READY)  ## U-GAT-IT: a red disc painted or taken away, and where the nets look, some minutes (SEED=0)
	$(BIN)/i2i demo ugatit --out $(if $(filter runs/demo,$(OUT)),runs/demo-ugatit,$(OUT)) --seed $(or $(SEED),0)

test: $(READY)  ## every test
	$(BIN)/python -m pytest -q

lint: $(READY)  ## ruff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)  ## mypy --strict
	$(BIN)/mypy $(addsuffix /src,$(PACKAGES)) $(wildcard examples/*/src)

docs: $(READY)  ## examples in docstrings (those of README and docs are among the tests), and the site build/docs
	$(BIN)/python -m pytest -q --doctest-modules $(addsuffix /src,$(PACKAGES))
	rm -rf build/docs
	$(BIN)/python -m sphinx -q -E -W --keep-going -c docs -d build/doctrees . build/docs
	@echo "the site begins with $(CURDIR)/build/docs/index.html"

notebooks: $(READY)  ## those of docs/notebooks: run at their small size, counted at full size; about three minutes
	cd docs/notebooks && ls *.ipynb | sed 's/\.ipynb$$//' | xargs -P 2 -n 1 $(CURDIR)/$(BIN)/python ../run_notebooks.py

demo-short: $(READY)  ## the demos, shortened: do they run through
	rm -rf runs/demo-short
	printf '%s\n' cyclegan 60 singan 10 pix2pixhd 10 pix2pix 60 ugatit 10 | OMP_NUM_THREADS=1 xargs -P 2 -n 2 \
	    sh -c '$(BIN)/i2i demo $$0 --out runs/demo-short/$$0 --steps $$1'

check: lint types test docs notebooks demo-short bench-short  ## what must pass before a change lands

matrix: $(READY)  ## every generator x discriminator x criterion x term: train, save, reload; some minutes
	OMP_NUM_THREADS=1 $(BIN)/python -m i2i.testing.matrix

bench: $(READY)  ## speed: ratios against plain torch, measured in one process
	$(BIN)/python -m pytest -q benchmarks -o python_files='bench_*.py' \
	    --benchmark-json="$$($(BIN)/python -c 'from benchmarks.timing import results; print(results())')"; \
	    code=$$?; $(BIN)/python docs/tables.py && exit $$code

bench-gpu:  ## speed on a CUDA device, about 25 minutes; needs torch, but no installation (GPU_PYTHON=PROGRAM, GPU_OUT=FILE.json)
	$(or $(GPU_PYTHON),$(if $(wildcard $(BIN)/python),$(BIN)/python,python3)) benchmarks/gpu.py $(if $(GPU_OUT),--out $(GPU_OUT))

bench-short: $(READY)  ## what the benchmarks compute, once each at the smallest size; nothing is timed
	printf '%s\n' bench_device.py '. --ignore=bench_device.py' | (cd benchmarks && OMP_NUM_THREADS=1 xargs -P 2 -L 1 \
	    $(CURDIR)/$(BIN)/python -m pytest -q -o python_files='bench_*.py' --benchmark-disable)

scaling: $(READY)  ## how the time of a step grows with size, batch and width, about ten minutes of one core; draws docs/images (SCALING=--device cuda)
	$(BIN)/python benchmarks/scaling.py $(SCALING)
	$(BIN)/python docs/scaling_plots.py
	$(BIN)/python docs/tables.py

evidence: $(READY)  ## long runs behind the tables in docs: demo for three seeds, twenty kills, how cost grows
	$(BIN)/python benchmarks/evidence/demo.py
	$(BIN)/python benchmarks/evidence/kills.py
	$(BIN)/python benchmarks/evidence/tiles.py
	$(BIN)/python benchmarks/evidence/ablation.py
	$(BIN)/python benchmarks/evidence/remedies.py
	$(BIN)/python benchmarks/evidence/singan.py
	$(BIN)/python benchmarks/evidence/pix2pixhd.py
	$(BIN)/python benchmarks/evidence/ugatit.py
	$(BIN)/python benchmarks/evidence/mixes.py
	$(BIN)/python benchmarks/evidence/precision.py
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/evidence/profiles.py
	$(MAKE) scaling
	$(BIN)/python docs/tables.py

clean:  ## remove what was made here
	rm -rf $(VENV) runs dist build .mypy_cache .ruff_cache
