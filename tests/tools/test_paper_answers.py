"""The answers to the paper's questions, from a slice of their studies and recounted from the published outcomes."""

from __future__ import annotations

import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm, t

import forgetmeter

ROOT = Path(__file__).parents[2]
PUBLISHED = ROOT / "docs" / "results"
OF_BENCHMARKS = [
    *(f"l1_unstructured:overall:{level}" for level in (0.2, 0.3, 0.4, 0.5)),
    *(f"round_to_nearest:overall:{bits}:group_size=32" for bits in (4, 3)),
]
RECIPES = [
    *(f"l1_unstructured:{scope}:{level}" for scope in ("attention", "feed_forward", "overall") for level in (0.5, 0.9)),
    "dynamic_int8:attention",
    "dynamic_int8:feed_forward",
    "round_to_nearest:overall:3",
    "round_to_nearest:overall:3:group_size=32",
    "svd:overall:0.5",
    "n_m:overall:m=4:n=2",
]
STANDARDS = ["standard:encoder", "standard:encoder-decoder", "standard:decoder"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("answers")
    # A standard stands in for SmolLM2, and facts for the benchmarks.
    for name, models, tasks in (
        ("standards", STANDARDS, ["facts:templates=0", "facts:templates=3"]),
        ("decoder", STANDARDS[2:], ["facts:templates=0", "divergence"]),
        ("smollm2", STANDARDS[2:], ["facts:templates=0", "divergence"]),
        ("smollm2-benchmarks", STANDARDS[2:], ["facts:templates=1"]),
        ("smollm2-bear", STANDARDS[2:], ["facts:templates=2"]),
    ):
        study = {"models": models, "recipes": OF_BENCHMARKS if len(tasks) == 1 else RECIPES, "tasks": tasks}
        forgetmeter.run(study | {"evaluation": {"limit": 8}, "output": str(folder / f"answers-{name}")})
    command = [sys.executable, "tools/answers", "--runs", str(folder), "--out", str(folder / "pages")]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return folder


def shape(page: Path) -> list[list[str]]:
    """Return a page's headings, the first rows of its tables, and what its claims are."""
    lines = page.read_text().splitlines()
    headings = [line for line in lines if line.startswith("#")]
    headers = [line for line, after in pairwise(lines) if after.startswith("| :---")]
    claims = [line.split(" | ")[0] for line in lines if re.match(r"\| [^`]*? \| .*(—|\]) ?[✓✗?]? \|", line)]
    return [headings, headers, claims if "✓: supported" in page.read_text() else []]


def test_a_slice_gives_the_same_tables(made: Path) -> None:
    names = sorted(path.name for path in PUBLISHED.glob("answers-*.md"))
    assert names == sorted(path.name for path in (made / "pages").glob("answers-*.md"))
    for name in names:
        published, sliced = shape(PUBLISHED / name), shape(made / "pages" / name)
        if name == "answers-tasks.md":
            published, sliced = published[:2], sliced[:2]
        assert sliced == published, name
    overview = (made / "pages" / "README.md").read_text()
    assert all(f"({name})" in overview for name in names)


def retained(frame: pd.DataFrame, model: str, recipe: str, task: str = "facts:templates=0") -> float:
    chosen = frame[(frame["model"] == model) & (frame["task"] == task)]
    known = chosen["baseline"].astype(bool)
    return float(chosen.loc[known, recipe].astype(bool).mean())


def cell(page: str, label: str, model: int) -> tuple[float, float, float]:
    """Return a number of a table with its interval."""
    (row,) = (line for line in (PUBLISHED / page).read_text().splitlines() if line.startswith(f"| {label} |"))
    found = re.findall(r"([+-]?[\d.]+) \\\[([+-]?[\d.]+), ([+-]?[\d.]+)\\\]", row)[model]
    value, low, high = map(float, found)
    return value, low, high


@pytest.fixture(scope="module")
def outcomes() -> pd.DataFrame:
    return pd.read_parquet(PUBLISHED / "data" / "standards.parquet")


@pytest.mark.parametrize("place", range(3))
def test_published_differences_are_recounted_from_the_published_outcomes(outcomes: pd.DataFrame, place: int) -> None:
    model = STANDARDS[place]
    for page, label, pairs in (
        (
            "answers-order.md",
            "prune first, then 3 bits, rather than the reverse",
            [
                (
                    "l1_unstructured:overall:0.4+round_to_nearest:overall:3",
                    "round_to_nearest:overall:3+l1_unstructured:overall:0.4",
                )
            ],
        ),
        (
            "answers-findings.md",
            "3. The same for weights rounded to 4, 3 and 2 bits",
            [(f"round_to_nearest:attention:{bits}", f"round_to_nearest:feed_forward:{bits}") for bits in (4, 3, 2)],
        ),
        (
            "answers-bits.md",
            "3 bits: HQQ, groups of 32 rather than plain, groups of 32",
            [("hqq:overall:3:group_size=32", "round_to_nearest:overall:3:group_size=32")],
        ),
    ):
        differences = [retained(outcomes, model, one) - retained(outcomes, model, other) for one, other in pairs]
        value, low, high = cell(page, label, place)
        assert value == pytest.approx(100 * np.mean(differences), abs=0.051)
        # An interval by the jackknife over relations instead of the bootstrap.
        chosen = outcomes[(outcomes["model"] == model) & (outcomes["task"] == "facts:templates=0")]
        relation = chosen["item_id"].str.split("/").str[1]
        left_out = []
        for name in relation.unique():
            rest = outcomes.drop(chosen.index[relation == name])
            left_out.append(
                np.mean([retained(rest, model, one) - retained(rest, model, other) for one, other in pairs])
            )
        number = len(left_out)
        error = np.sqrt((number - 1) / number * np.sum((np.asarray(left_out) - np.mean(left_out)) ** 2))
        wide = 100 * t.ppf(0.975, number - 1) * error
        assert high - low == pytest.approx(2 * wide, rel=0.3, abs=0.2)


def test_published_overlaps_are_recounted(outcomes: pd.DataFrame) -> None:
    recipe = "l1_unstructured:overall:0.5"
    facts = outcomes[outcomes["task"] == "facts:templates=0"].set_index("item_id")
    one, other = (facts[facts["model"] == model] for model in (STANDARDS[0], STANDARDS[2]))
    other = other.loc[one.index]
    known = one["baseline"].astype(bool) & other["baseline"].astype(bool)
    lost = pd.DataFrame({"one": ~one[recipe].astype(bool), "other": ~other[recipe].astype(bool)})[known]
    groups = lost.groupby(lost.index.str.split("/").str[1])
    expected = (groups["one"].sum() * groups["other"].sum() / groups.size()).sum()
    both = (lost["one"] & lost["other"]).sum()
    most = np.minimum(groups["one"].sum(), groups["other"].sum()).sum()
    value, _, _ = cell("answers-agreement.md", "encoder · decoder", 0)
    assert value == pytest.approx((both - expected) / (most - expected), abs=0.0051)


@pytest.mark.parametrize("place", range(3))
def test_published_regressions_are_recounted(outcomes: pd.DataFrame, place: int) -> None:
    facts = outcomes[(outcomes["model"] == STANDARDS[place]) & (outcomes["task"] == "facts:templates=0")].copy()
    facts["relation"] = facts["item_id"].str.split("/").str[1]
    # Every answer of a relation is right for one of its facts.
    chance = 1 / facts.groupby("relation")["gold"].transform("nunique")
    enough = chance.sum() + norm.ppf(0.975) * np.sqrt((chance * (1 - chance)).sum())
    known = facts[facts["baseline"].astype(bool)]
    damaging = [
        name
        for name in facts.columns[facts.columns.get_loc("baseline") + 1 : -1]
        if "lora_recover" not in name
        and 0.05 <= known[name].astype(bool).mean() <= 0.95
        and facts[name].astype(bool).sum() > enough
    ]
    popularity = np.log(known["popularity"])
    popularity = popularity.fillna(popularity.groupby(known["relation"]).transform("mean")).fillna(popularity.mean())
    frequency = np.log(known.groupby(["relation", "gold"])["gold"].transform("size"))
    columns = [(each - each.mean()) / each.std() for each in (known["margin"], frequency, popularity)]
    relations = pd.get_dummies(known["relation"]).to_numpy(np.float64)
    forgotten = 1 - known[damaging].astype(bool).mean(axis=1)
    fitted = np.linalg.lstsq(np.column_stack([*columns, relations]), forgotten, rcond=None)[0]
    labels = ("margin before compression", "frequency of the answer in its relation", "popularity of the subject")
    for label, coefficient in zip(labels, fitted, strict=False):
        value, _, _ = cell("answers-which-facts.md", label, place)
        assert value == pytest.approx(coefficient, abs=0.0051)
