"""Wrong arguments to the Python functions get a one-line error that names what is allowed.

Covers ``scoring.engine``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from made_up_task import MadeUpTask
from tiny_models import make_llama, make_tokenizer
from transformers import LlamaForTokenClassification, LlamaModel

import forgetmeter
from forgetmeter.errors import UserError
from forgetmeter.scoring.engine import Engine

RANDOM = "random_unstructured:overall:0.5"


def wrapped(_folder: Path) -> Any:
    return forgetmeter.wrap(make_llama(), make_tokenizer())


class Described:
    """What has a task's description but no items."""

    description = MadeUpTask(3).description


def classifier() -> LlamaForTokenClassification:
    config = make_llama().config
    config.num_labels = config.vocab_size
    return LlamaForTokenClassification(config)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda folder: forgetmeter.load(folder, dtype="bf16"), "unknown dtype 'bf16'; did you mean"),
        (lambda folder: forgetmeter.load(folder, device="cuda:0"), "unknown device 'cuda:0'; did you mean 'cuda'"),
        (
            lambda folder: forgetmeter.load(folder, dtype=torch.float16),
            "unknown dtype 'torch.float16'; did",
        ),
        (lambda folder: forgetmeter.load(folder, device=5), "unknown device '5'"),
        (lambda _: forgetmeter.load(None), "model is None, of type NoneType; it must be str or Path"),
        (lambda folder: forgetmeter.compress(wrapped(folder), None), "recipe is None, of type NoneType"),
        (lambda folder: forgetmeter.compress(wrapped(folder), [RANDOM]), "of type list; it must be str"),
        (lambda _: forgetmeter.open_run(5), "run is 5, of type int; it must be str or Path"),
        (lambda _: forgetmeter.run(None), "study is None, of type NoneType; it must be str or Path or Mapping"),
        (lambda folder: forgetmeter.compress_checkpoint(folder, RANDOM, None), "out is None, of type NoneType"),
        (
            lambda folder: forgetmeter.compress_checkpoint(None, RANDOM, folder / "out"),
            "model is None, of type NoneType",
        ),
        (
            lambda folder: forgetmeter.compress_checkpoint(folder, RANDOM, folder / "out", max_shard_size=5),
            "--max-shard-size is 5, of type int",
        ),
        (
            lambda folder: forgetmeter.compress_checkpoint(folder, RANDOM, folder / "out", format=None),
            "unknown format 'None'",
        ),
        (lambda folder: forgetmeter.load(folder / "gone"), "gone': the folder does not exist"),
        (lambda _: forgetmeter.wrap(make_llama(), None), "NoneType is not a transformers PreTrainedTokenizerBase"),
        (lambda _: forgetmeter.wrap("llama", make_tokenizer()), "str is not a transformers PreTrainedModel"),
        (lambda _: forgetmeter.wrap({}, make_tokenizer()), "dict is not a transformers PreTrainedModel"),
        (
            lambda _: forgetmeter.wrap(torch.nn.DataParallel(make_llama()), make_tokenizer()),
            "DataParallel is not a transformers PreTrainedModel; pass the model that it wraps (its .module)",
        ),
        (lambda _: forgetmeter.wrap(LlamaModel(make_llama().config), make_tokenizer()), "is a LlamaModel, which"),
        (lambda _: forgetmeter.wrap(classifier(), make_tokenizer()), "load it with AutoModelForCausalLM"),
        (lambda folder: forgetmeter.compress(wrapped(folder), RANDOM, seed=2**64), "seed 18446744073709551616 is not"),
        (lambda folder: forgetmeter.compress(wrapped(folder), RANDOM, seed=-1), "seed -1 is not valid"),
        (lambda folder: forgetmeter.compress(wrapped(folder), RANDOM, seed=0.5), "seed 0.5 is not valid"),
        (
            lambda folder: forgetmeter.compress_checkpoint(folder, RANDOM, folder / "out", seed=2**63),
            "it must be an integer from 0 to 9223372036854775807",
        ),
        (lambda folder: forgetmeter.evaluate(wrapped(folder), "fact"), "unknown task 'fact'; did you mean 'facts'"),
        (lambda folder: forgetmeter.evaluate(wrapped(folder), ["facts"], limit=0), "limit 0 is not a positive integer"),
        (
            lambda folder: forgetmeter.evaluate(folder, "facts"),
            "PosixPath is not a loaded model; pass what forgetmeter.load",
        ),
        (lambda folder: forgetmeter.evaluate(wrapped(folder).model, "facts"), "LlamaForCausalLM is not a loaded model"),
        (lambda folder: forgetmeter.compress(wrapped(folder).model, RANDOM), "LlamaForCausalLM is not a loaded model"),
        (
            lambda folder: forgetmeter.evaluate(wrapped(folder), [make_llama()]),
            "'LlamaForCausalLM' object is not a task",
        ),
        (lambda folder: forgetmeter.evaluate(wrapped(folder), None), "'NoneType' object is not a task"),
        (lambda folder: forgetmeter.evaluate(wrapped(folder), b"facts"), "'bytes' object is not a task"),  # type: ignore[arg-type]
        (lambda folder: forgetmeter.evaluate(wrapped(folder), bytearray(b"facts")), "'bytearray' object is not"),  # type: ignore[arg-type]
        (lambda folder: forgetmeter.evaluate(wrapped(folder), {"facts": 1}), "'dict' object is not a task"),  # type: ignore[arg-type]
        (lambda folder: forgetmeter.evaluate(wrapped(folder), ["facts", 3]), "'int' object is not a task"),  # type: ignore[list-item]
        (lambda folder: forgetmeter.evaluate(wrapped(folder), [Described()]), "task 'made_up' has no items"),
        (lambda folder: forgetmeter.weight_map(wrapped(folder)), "Loaded is not a transformers PreTrainedModel"),
        (lambda folder: Engine(wrapped(folder), batch_tokens=0), "batch_tokens 0 is not a positive integer"),
    ],
)
def test_wrong_arguments_are_refused(llama_folder: Path, call: Callable[[Path], Any], says: str) -> None:
    with pytest.raises(UserError) as refusal:
        call(llama_folder)
    assert says in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_path_names_a_folder(llama_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert forgetmeter.load(llama_folder).name == str(llama_folder)
    monkeypatch.chdir(llama_folder.parent)
    assert forgetmeter.load(Path(llama_folder.name)).name == f"./{llama_folder.name}"
    written = forgetmeter.compress_checkpoint(Path(llama_folder.name), "l1_unstructured:overall:0.5", tmp_path / "out")
    assert written.is_checked


def test_one_task_needs_no_list(llama_folder: Path) -> None:
    loaded, task = forgetmeter.load(llama_folder), MadeUpTask(3)
    one = forgetmeter.evaluate(loaded, "facts:templates=0", limit=1)
    assert one == forgetmeter.evaluate(loaded, ["facts:templates=0"], limit=1)
    assert list(forgetmeter.evaluate(loaded, [task])) == list(forgetmeter.evaluate(loaded, task)) == ["made_up"]
