# `make demo` and `make test` need nothing but git, make and python3. To use your own build of PyTorch
# (CPU or a certain CUDA), create .venv and install it there first: see the README.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LAUNCH := $(BIN)/accelerate launch --config_file configs/accelerate/one_process.yaml
DEMO := runs/demo

.PHONY: demo test test-torchcodec benchmark style format clean

$(VENV)/bin/pip:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml | $(VENV)/bin/pip
	$(BIN)/pip install --quiet --editable .
	touch $@

$(VENV)/.installed-test: pyproject.toml | $(VENV)/bin/pip
	$(BIN)/pip install --quiet --editable ".[test]"
	touch $@ $(VENV)/.installed

demo: $(VENV)/.installed ## a small video dataset, trained on, evaluated, described, predicted
	$(BIN)/python datasets/demo/generate.py data/demo
	$(LAUNCH) scripts/train.py --config configs/demo/finetune.yaml
	$(LAUNCH) scripts/evaluate.py --config configs/demo/evaluate.yaml
	$(LAUNCH) scripts/evaluate.py --config configs/demo/evaluate.yaml \
	    evaluate.shuffle_frames=true output_dir=$(DEMO)/evaluation_shuffled
	$(LAUNCH) scripts/extract_features.py checkpoint=$(DEMO)/best data.manifest=data/demo/val.csv \
	    output_dir=$(DEMO)/features
	$(BIN)/python scripts/predict.py --checkpoint $(DEMO)/best \
	    data/demo/videos/val/approaching/00006.mp4 data/demo/videos/val/moving_left/00000.mp4
	$(BIN)/python datasets/demo/check.py $(DEMO)

test: $(VENV)/.installed-test ## everything, the real scripts in two processes included
	$(BIN)/python -m pytest

test-torchcodec: $(VENV)/.installed-test ## the optional decoder; needs FFmpeg (Debian: ffmpeg)
	$(BIN)/pip install --quiet --editable ".[torchcodec]"
	$(BIN)/python -m pytest -m torchcodec

style: $(VENV)/.installed-test ## what CI and pre-commit check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

benchmark: $(VENV)/.installed-test ## speed and memory against the official package
	$(BIN)/python scripts/benchmark_model.py

format: $(VENV)/.installed-test ## mend what can be mended
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## what the demo made; the virtual environment stays
	rm -rf data/demo runs/demo
