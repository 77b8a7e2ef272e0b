# `make demo` and `make test` are all a newcomer needs; each sets itself up in .venv the first time.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
OUT ?= demo-output
JOBS ?= 2

.PHONY: demo test test-engine test-harness test-panels lint format docs demo-model screenshots clean

# Set-up runs again only when what it depends on has changed.
$(VENV)/.ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "HAGANSlicer needs Python 3.10 or newer; try make PYTHON=python3.11")'
	@echo '[1/3] A Python environment in $(VENV) (some seconds)'
	@$(PYTHON) -m venv $(VENV)
	@echo '[2/3] torch, by far the largest package; the bar shows what is left to download'
	@$(BIN)/python -m pip install --progress-bar on --constraint constraints.txt torch
	@echo '[3/3] The other packages and HAGANSlicer itself'
	@$(BIN)/python -m pip install --progress-bar on --constraint constraints.txt --editable '.[test]'
	touch $@

demo: $(VENV)/.ready
	$(BIN)/hagan demo --out '$(OUT)' $(if $(SCAN),--scan '$(SCAN)')

# The panels in processes of their own: they close scenes whose colours the pictures would miss.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist loadfile
# Each part runs whatever became of the others; the result is a failure if one of them failed.
test: $(VENV)/.ready
	$(MAKE) --keep-going --no-print-directory lint test-engine test-harness test-panels

test-engine: $(VENV)/.ready
	$(PYTEST) HAGANCore Testing/unit Testing/commands

test-harness: $(VENV)/.ready
	$(PYTEST) Testing/scene Testing/render

test-panels: $(VENV)/.ready
	$(PYTEST) Testing/panel

lint: $(VENV)/.ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(VENV)/.ready
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# What builds the documentation is needed neither to demonstrate nor to test.
$(VENV)/.docs-ready: $(VENV)/.ready
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[docs]'
	touch $@

docs: $(VENV)/.docs-ready
	$(BIN)/python -m sphinx --quiet --fail-on-warning --keep-going docs docs/_build/html
	@echo 'The documentation is in docs/_build/html/index.html'

# Makes the demonstration model again from nothing: phantoms, training at two learning rates, latent directions,
# evaluation (about 85 minutes on two cores). What it is and reaches: Resources/Models/README.md.
DEMO := runs/demo
DEMO_TRAIN := $(BIN)/hagan train $(DEMO)/cohort --out $(DEMO)/run --config Resources/Models/demo.config.json
demo-model: $(VENV)/.ready
	$(BIN)/hagan phantom --count 2400 --size 64 --seed 1 --out $(DEMO)/cohort
	$(DEMO_TRAIN) --iterations 3160 --set encoder_iterations=0 --set reconstruction_weight=20 \
	  --set tissue_weight=0.3 --set lr_generator=3e-4 --set lr_discriminator=3e-4 --set lr_encoder=1.5e-3
	$(DEMO_TRAIN) --resume --card Resources/Models/demo.card.json --store float16
	$(BIN)/hagan directions fit --model $(DEMO)/run/model.safetensors \
	  --target lungs_ml,bones_ml,fat_ml --hold lungs_ml,bones_ml --samples 800 --probes 80 \
	  --report $(DEMO)/directions --write $(DEMO)/demo.safetensors --replace
	$(BIN)/python Testing/ship_model.py $(DEMO)/demo.safetensors
	-$(BIN)/python Testing/benchmarks/demo_model.py
	-$(BIN)/python Testing/benchmarks/directions.py --model demo

# Takes the documentation's pictures again, with what the demonstration model makes now (about 5 minutes).
screenshots: $(VENV)/.ready
	OMP_NUM_THREADS=1 $(BIN)/python Testing/screenshots.py

clean:
	rm -rf $(VENV) build dist docs/_build .pytest_cache .mypy_cache .ruff_cache .hypothesis
