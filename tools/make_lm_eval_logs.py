"""Makes the logs and the table that docs/guides/lm-eval-logs.md imports, in the current folder.

python tools/make_lm_eval_logs.py: evaluates standard:decoder and two compressed copies of it with
lm-evaluation-harness, on tasks of the built-in facts; needs no network.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import forgetmeter
from forgetmeter.basics.quiet import quiet
from forgetmeter.probes.loading import load_task

MODELS = {"original": "", "int3": "round_to_nearest:overall:3", "pruned": "l1_unstructured:overall:0.4"}
"""The recipe of each model."""
_FACTS = "facts:relations=country_capital:templates=0"
_CHOICES = 5
_DEFINITIONS = {
    "capitals": "output_type: multiple_choice\ndoc_to_choice: choices\ndoc_to_target: label\n"
    "metric_list: [{metric: acc}, {metric: acc_norm}]\n",
    "capitals_written": "output_type: generate_until\ndoc_to_target: '{{choices[label]}}'\n"
    "generation_kwargs: {until: ['.'], max_gen_toks: 12}\nmetric_list: [{metric: exact_match}]\n"
    "filter_list: [{name: stripped, filter: [{function: remove_whitespace}, {function: take_first}]}]\n",
}


def log(model: str, out: Path, tasks: Iterable[str], definitions: Path, **options: Any) -> Path:  # noqa: ANN401
    """Evaluate a model with lm-eval's own evaluator, and log the samples as its command line does.

    Args:
        model: A folder, as lm-eval's argument ``pretrained``.
        out: The output path.
        tasks: Names of tasks and groups.
        definitions: Folder with the definitions of tasks.
        options: Further arguments of ``simple_evaluate``.
    """
    import lm_eval
    from lm_eval.loggers import EvaluationTracker
    from lm_eval.tasks import TaskManager

    with quiet():
        tracker = EvaluationTracker(output_path=str(out))
        results: Any = lm_eval.simple_evaluate(
            model="hf",
            model_args=f"pretrained={model},dtype=float32",
            tasks=list(tasks),
            batch_size=16,
            device="cpu",
            log_samples=True,
            evaluation_tracker=tracker,
            task_manager=TaskManager(include_path=str(definitions)),
            bootstrap_iters=0,
            **options,
        )
        samples = results.pop("samples")
        tracker.save_results_aggregated(results=results, samples=samples)
        for name in results["configs"]:
            tracker.save_results_samples(task_name=name, samples=samples[name])
    return out


def write_definitions(folder: Path) -> Path:
    """Write tasks that ask for capitals: one by choices, one in the model's own words."""
    folder.mkdir(exist_ok=True)
    lines = []
    for place, item in enumerate(load_task(_FACTS).items):
        (gold,) = item.gold
        # Other capitals, far from each other in the alphabet.
        others = [(gold + step * len(item.choices) // _CHOICES) % len(item.choices) for step in range(_CHOICES)]
        turned = [*others[-(place % _CHOICES) :], *others[: -(place % _CHOICES)]] if place % _CHOICES else others
        choices = [item.choices[each] for each in turned]
        question = item.cloze.before.strip()
        lines.append(json.dumps({"question": question, "choices": choices, "label": turned.index(gold)}))
    data = folder / "capitals.json"
    data.write_text("\n".join(lines))
    for name, definition in _DEFINITIONS.items():
        (folder / f"{name}.yaml").write_text(
            f"task: {name}\ndataset_path: json\ntest_split: test\ndoc_to_text: '{{{{question}}}}'\n"
            f"dataset_kwargs: {{data_files: {{test: {data.resolve()}}}}}\nmetadata: {{version: 1}}\n{definition}"
        )
    return folder


def write_table(path: Path, logs: Path) -> None:
    """Write the answers of the task with choices as a table, as if another program had given them."""
    with path.open("w", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(["question", "model", "correct"])
        for name in MODELS:
            (samples,) = (logs / name).glob("*/samples_capitals_2*.jsonl")
            for sample in map(json.loads, samples.read_text().splitlines()):
                table.writerow([sample["doc"]["question"], name, str(sample["acc"] == 1).lower()])


def main() -> None:
    """Make the models, their logs and the table."""
    definitions = write_definitions(Path("tasks"))
    for name, recipe in MODELS.items():
        if recipe:
            forgetmeter.compress_checkpoint("standard:decoder", recipe, name)
        else:
            loaded = forgetmeter.load("standard:decoder")
            loaded.model.save_pretrained(name)
            loaded.tokenizer.save_pretrained(name)
        log(f"./{name}", Path("logs", name), _DEFINITIONS, definitions)
        sys.stderr.write(f"logs of {name} are in logs/{name}\n")
    write_table(Path("answers.csv"), Path("logs"))


if __name__ == "__main__":
    main()
