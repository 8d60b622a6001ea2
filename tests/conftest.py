"""Shared fixtures: a tiny random decoder, its tokenizer, and the test data where available."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import pytest
import torch
from tiny_models import make_llama, make_tokenizer
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast
from written_runs import full_run as full_run
from written_runs import write_run as write_run

# With several test processes, one core each.
_THREADS = "1" if "PYTEST_XDIST_WORKER" in os.environ else "2"
torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", _THREADS)))

FETCH = (
    "the test data is not there; with a network, the datasets library fetches it: "
    "set FORGETMETER_TEST_DATA to a folder with hf-datasets/ in it (see CONTRIBUTING.md)"
)


@pytest.fixture
def tokenizer() -> PreTrainedTokenizerFast:
    return make_tokenizer()


@pytest.fixture
def llama() -> LlamaForCausalLM:
    return make_llama()


@pytest.fixture(scope="session")
def llama_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "tiny-llama"
    make_llama().save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(autouse=True)
def _own_cache(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """Keep tests out of the user's cache, except those on the real model."""
    if request.node.get_closest_marker("data") is None:
        monkeypatch.setenv("FORGETMETER_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out slow tests but those of the share that ``FORGETMETER_SLOW`` asks for, such as 2/4."""
    if any("::" in name for name in config.args):
        # Tests that are named are run.
        return
    share, shares = map(int, os.environ.get("FORGETMETER_SLOW", "0/1").split("/"))
    slow = [item for item in items if item.get_closest_marker("slow")]
    left_out = set(slow) - set(slow[share - 1 :: shares] if share else ())
    config.hook.pytest_deselected(items=list(left_out))
    items[:] = [item for item in items if item not in left_out]


def pytest_report_header() -> str:
    share = os.environ.get("FORGETMETER_SLOW")
    return f"slow tests: share {share} (FORGETMETER_SLOW)" if share else "slow tests: none (make test-all)"


def pytest_collection_finish() -> None:
    """Exempt what is imported from garbage collection, which otherwise takes half a second each time."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    gc.unfreeze()


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("data") is None or benchmarks_are_there():
        return
    if os.environ.get("CI"):
        pytest.fail(FETCH)
    pytest.skip(FETCH)


def benchmarks_are_there() -> bool:
    """Return whether lm-eval's tasks can be loaded offline."""
    folder = os.environ.get("HF_DATASETS_CACHE")
    return bool(folder) and os.environ.get("HF_HUB_OFFLINE") == "1" and Path(folder, "baber___piqa").is_dir()


@pytest.fixture
def published() -> Path:
    """The data folder with LAMA and BEAR as published, if available."""
    folder = Path(os.environ.get("FORGETMETER_TEST_DATA", "../shared/data"))
    if not (folder / "LAMA").is_dir() or not (folder / "BEAR").is_dir():
        says = f"no LAMA/ and BEAR/ in '{folder}'; set FORGETMETER_TEST_DATA (see CONTRIBUTING.md)"
        pytest.fail(says) if os.environ.get("CI") else pytest.skip(says)
    return folder
