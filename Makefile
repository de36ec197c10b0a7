# `make demo` and `make test` need nothing but git, make and python3. To use your own build of PyTorch
# (CPU or a certain CUDA), create .venv and install it there first: see the README.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LAUNCH := $(BIN)/accelerate launch --config_file configs/accelerate/one_process.yaml
DEMO := runs/demo

.PHONY: demo demo-pretrain test test-long test-ffmpeg benchmark benchmark-data style format clean

$(VENV)/bin/pip:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml | $(VENV)/bin/pip
	$(BIN)/pip install --quiet --editable .
	touch $@

$(VENV)/.installed-test: pyproject.toml | $(VENV)/bin/pip
	$(BIN)/pip install --quiet --editable ".[test]"
	touch $@ $(VENV)/.installed

demo: $(VENV)/.installed ## make a small video dataset; train, evaluate, extract features, predict
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

# Models this small gain nothing from a second core, which loads data or trains another one.
demo-pretrain: export OMP_NUM_THREADS = 1
demo-pretrain: $(VENV)/.installed ## pre-training without labels, then ten labelled videos of each class, three seeds
	$(BIN)/python datasets/demo/generate.py data/demo
	$(BIN)/python datasets/demo/take_few.py data/demo
	$(LAUNCH) scripts/pretrain.py --config configs/demo/pretrain.yaml
	for seed in 0 1 2; do \
	    $(LAUNCH) scripts/train.py --config configs/demo/finetune_few.yaml seed=$$seed \
	        init_from=$(DEMO)_pretrain/pretrained/last output_dir=$(DEMO)_pretrain/finetuned_$$seed & \
	    $(LAUNCH) scripts/train.py --config configs/demo/finetune_few.yaml seed=$$seed \
	        output_dir=$(DEMO)_pretrain/scratch_$$seed && wait $$! || exit; \
	done
	$(BIN)/python scripts/visualize_mae.py --checkpoint $(DEMO)_pretrain/pretrained/last \
	    --output $(DEMO)_pretrain/reconstruction data/demo/videos/val/*/0000*.mp4
	$(BIN)/python datasets/demo/compare_pretraining.py $(DEMO)_pretrain

# conftest.py puts the files that take longest first, so that both processes end at the same time.
TEST := $(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

test: $(VENV)/.installed-test ## six to nine minutes on two cores; the real scripts in two processes, too
	$(TEST)

test-long: $(VENV)/.installed-test ## what takes long for its own sake, or waits in real time
	$(TEST) -m "long and not ffmpeg"

test-ffmpeg: $(VENV)/.installed-test ## against the program, and torchcodec; needs FFmpeg (Debian: ffmpeg)
	$(BIN)/pip install --quiet --editable ".[torchcodec]"
	$(BIN)/python -m pytest -m ffmpeg

style: $(VENV)/.installed-test ## what CI and pre-commit check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

benchmark: $(VENV)/.installed-test ## speed and memory against the official package
	$(BIN)/python scripts/benchmark_model.py

benchmark-data: $(VENV)/.installed-test ## speed of reading clips, against pytorchvideo's dataset and FFmpeg itself
	$(BIN)/python scripts/benchmark_data.py
	$(BIN)/python scripts/benchmark_decoding.py

format: $(VENV)/.installed-test ## fix what can be fixed automatically
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## what the demo made; the virtual environment stays
	rm -rf data/demo runs/demo runs/demo_pretrain
