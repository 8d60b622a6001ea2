"""Advice as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict

from forgetmeter.results.advice import Advice


def advice_json(advice: Advice) -> str:
    """Return advice as JSON: ``recipe``, ``format``, then all evidence; sizes in bytes, shares from 0 to 1."""
    document = {"recipe": advice.best.recipe, "format": advice.best_size.format, **asdict(advice)}
    document["sizes"] = list(document["sizes"].values())
    for name, keys in (
        ("not_counted", ("task", "reason")),
        ("unusable", ("recipe", "reason")),
        ("rounds", ("items", "recipes")),
    ):
        document[name] = [dict(zip(keys, each, strict=True)) for each in document[name]]
    document["budget"] = str(advice.budget)
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"
