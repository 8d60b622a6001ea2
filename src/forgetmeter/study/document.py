"""A study as JSON, with the versions and hardware of its run."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from forgetmeter.basics.processor import processor_name
from forgetmeter.compression.registry import METHODS, needs_texts
from forgetmeter.config.study import Study
from forgetmeter.plan.planning import Plan
from forgetmeter.probes.registry import TASKS
from forgetmeter.records.task_group import TaskGroup
from forgetmeter.runs.identity import NOISE_FLOOR
from forgetmeter.runs.run_store import SCHEMA_VERSION
from forgetmeter.scoring.calibration_texts import text_digest
from forgetmeter.specs.model_reference import ModelReference
from forgetmeter.specs.recipe import Recipe
from forgetmeter.specs.registry import plug_ins

_PACKAGES = (
    *("forgetmeter", "torch", "transformers", "lm_eval", "datasets", "tokenizers", "numpy"),
    # Kernels of quantized models.
    *("torchao", "compressed_tensors"),
)


def study_document(plan: Plan, identities: Mapping[ModelReference, str]) -> dict[str, Any]:
    """Return the content of ``study.json``: ``identity`` identifies the study, the rest records how it was run."""
    return {
        "schema_version": SCHEMA_VERSION,
        "identity": _identity(plan.study, identities),
        "variants": [
            {"id": variant.id, "model": str(variant.model), "recipe": str(variant.recipe)} for variant in plan.variants
        ],
        "versions": {name: found for name in (*_PACKAGES, *_plug_ins()) if (found := _version(name))},
        "hardware": {
            "machine": platform.machine(),
            "processor": processor_name(),
            "cores": os.cpu_count(),
            "system": platform.system(),
            "python": platform.python_version(),
        },
        **({"groups": {group.name: _group(group) for group in plan.study.groups}} if plan.study.groups else {}),
        "device": plan.study.evaluation.device,
        "batch_tokens": plan.study.evaluation.batch_tokens or "auto",
        **({NOISE_FLOOR: True} if plan.study.evaluation.noise_floor else {}),
    }


def _identity(study: Study, identities: Mapping[ModelReference, str]) -> dict[str, Any]:
    evaluation = study.evaluation
    candidates = {str(model): [str(each) for of, each in study.candidates if of == model] for model in study.models}
    return {
        "models": [str(model) for model in study.models],
        "model_content": {str(model): identities[model] for model in study.references},
        "recipes": [str(recipe) for recipe in study.recipes],
        **({"candidates": candidates} if study.candidates else {}),
        "tasks": list(study.tasks),
        # Settings of prompts only where they are given, so that runs of earlier versions are recognized.
        "evaluation": {
            "limit": evaluation.limit,
            "seed": evaluation.seed,
            "dtype": evaluation.dtype,
            **evaluation.prompting,
            **({"calibration": _calibration(study)} if any(map(needs_texts, _applied(study))) else {}),
        },
    }


def _applied(study: Study) -> Iterator[Recipe]:
    yield from study.recipes
    yield from (recipe for _, recipe in study.candidates)


def _calibration(study: Study) -> dict[str, Any]:
    settings = study.evaluation.calibration
    models = map(str, study.references)
    texts = {where: text_digest(settings, model) for model in models if (where := settings.of(model))}
    return {**asdict(settings), "sha256": texts}


def _group(group: TaskGroup) -> dict[str, Any]:
    return {"tasks": list(group.tasks), "metrics": [asdict(metric) for metric in group.metrics]}


def _plug_ins() -> Iterator[str]:
    """Yield the packages of installed plug-ins, whose answers may change with their version."""
    for registry in (METHODS, TASKS):
        yield from (entry.dist.name for entry in plug_ins(registry.group) if entry.dist is not None)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
