"""A tiny model, a changed copy of it, and tasks of the tests' own, for real logs of lm-evaluation-harness."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tiny_models import make_llama, make_tokenizer

DOCUMENTS = [
    {"q": f"Is {what} {how}?", "choices": ["no", "yes, it is", "maybe"], "label": place % 3}
    for place, (what, how) in enumerate(
        (what, how) for what in ("ice", "fire", "tea", "the inn", "rain", "tin", "the hen") for how in ("cold", "hot")
    )
]
"""Made up; the last document repeats the first."""
DOCUMENTS.append(DOCUMENTS[0])

_METRIC = "{{metric: {name}, aggregation: {aggregation}, higher_is_better: true}}"


def _metrics(*names: str, aggregation: str = "mean") -> str:
    return "metric_list: [" + ", ".join(_METRIC.format(name=name, aggregation=aggregation) for name in names) + "]\n"


DEFINITIONS = {
    "choosing": "output_type: multiple_choice\ndoc_to_choice: choices\ndoc_to_target: label\n"
    + _metrics("acc", "acc_norm"),
    "beginning": "output_type: multiple_choice\ndoc_to_text: '{{label % 2}}'\ndoc_to_target: it is cold\n"
    "doc_to_choice: \"{{[q + ' No', q + ' Yes']}}\"\n" + _metrics("acc"),
    "completing": "output_type: loglikelihood\ndoc_to_target: ' {{choices[label][0]}}'\n"
    "metric_list: [{metric: perplexity, aggregation: perplexity, higher_is_better: false},"
    " {metric: acc, aggregation: mean, higher_is_better: true}]\n",
    "writing": "output_type: generate_until\ndoc_to_target: '{{choices[label]}}'\n"
    "generation_kwargs: {until: ['.'], max_gen_toks: 4}\n" + _metrics("exact_match") + "filter_list:\n"
    "  - {name: strict, filter: [{function: regex, regex_pattern: '([a-z]+)'}, {function: take_first}]}\n"
    "  - {name: whole, filter: [{function: take_first}]}\n",
    # Like truthfulqa_mc2: acc is the probability of the true choices, all but one.
    "weighing": "output_type: multiple_choice\ndoc_to_choice: choices\ndoc_to_target: 0\n"
    "process_results: !function weighing.share_of_true\n" + _metrics("acc"),
    "reading": "output_type: loglikelihood_rolling\ndoc_to_text: ''\ndoc_to_target: '{{q}} {{choices[1]}}'\n"
    "metric_list: [{metric: word_perplexity}, {metric: byte_perplexity}, {metric: bits_per_byte}]\n",
}


_WEIGHING = """
import numpy as np


def share_of_true(doc, results):
    # Per letter, as one choice is so much longer that its probability is nil.
    lengths = [len(choice) for choice in doc["choices"]]
    probabilities = np.exp([score / length for (score, _), length in zip(results, lengths)])
    true = np.arange(len(probabilities)) != doc["label"]
    return {"acc": probabilities[true].sum() / probabilities.sum()}
"""


def write_tasks(folder: Path, documents: Sequence[dict[str, Any]] = DOCUMENTS, version: int = 3) -> Path:
    """Write the definitions of the tasks, and a group of two of them."""
    folder.mkdir(exist_ok=True)
    (folder / "questions.json").write_text("\n".join(map(json.dumps, documents)))
    for name, definition in DEFINITIONS.items():
        text = "" if "doc_to_text" in definition else "doc_to_text: 'Q: {{q}} A:'\n"
        (folder / f"{name}.yaml").write_text(
            f"task: {name}\ndataset_path: json\ntest_split: test\n{text}"
            f"dataset_kwargs: {{data_files: {{test: {folder / 'questions.json'}}}}}\n"
            f"metadata: {{version: {version}}}\n{definition}"
        )
    (folder / "weighing.py").write_text(_WEIGHING)
    (folder / "both.yaml").write_text("group: both\ntask: [choosing, completing]\n")
    return folder


def write_models(folder: Path) -> tuple[Path, Path]:
    """Write a tiny model, and a copy of it with other feed-forward weights."""
    base, changed = folder / "base", folder / "changed"
    model = make_llama()
    for place in (base, changed):
        model.save_pretrained(place)
        make_tokenizer().save_pretrained(place)
        with torch.no_grad():
            for name, weight in model.named_parameters():
                weight.mul_(-6 if "mlp" in name else 1)
    return base, changed
