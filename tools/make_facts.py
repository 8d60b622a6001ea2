"""Makes the built-in facts from data packages.

The facts file in the package is authoritative. This script shows how it would change with the installed packages
(``pip install -e '.[facts]'`` installs the recorded versions), and replaces it on request.

    python tools/make_facts.py --check               # exit status 1 if anything would change
    python tools/make_facts.py --write               # replace the file
    python tools/make_facts.py --sample 200 --seed 0 # draw recorded facts to check by hand, from all relations
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from pathlib import Path
from typing import Any

from fact_sources.record import as_text, differences, made
from fact_sources.relations import RELATIONS
from fact_sources.rules import idle_exclusions

FACTS = Path(__file__).parents[1] / "src" / "forgetmeter" / "probes" / "facts" / "facts.json"


def main() -> int:
    """Run the command line, and return the exit status."""
    parser = argparse.ArgumentParser(description="Make the built-in facts from data packages.")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "--check", action="store_true", help="only print what would change; exit status 1 if anything would"
    )
    what.add_argument("--write", action="store_true", help="print what changes, and replace the facts file")
    what.add_argument("--sample", type=int, metavar="N", help="draw N recorded facts from all relations")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--file", type=Path, default=FACTS, help="the facts file")
    arguments = parser.parse_args()
    recorded = recorded_facts(arguments.file, parser)
    if arguments.sample is not None:
        if recorded is None:
            parser.error(f"there is no facts file '{arguments.file}'")
        least, most = 3 * len(recorded["relations"]), len(recorded["facts"])
        if not least <= arguments.sample <= most:
            parser.error(f"--sample {arguments.sample}: at least three of each relation, {least} to {most}")
        for statement in sample(recorded, arguments.sample, arguments.seed):
            print(statement)
        return 0
    for relation in RELATIONS:
        for subject in idle_exclusions(relation):
            print(f"{relation.id}: '{subject}' is excluded by hand, but no longer exists")
    print("reading the data packages, which takes some 20 seconds", file=sys.stderr)
    content = made()
    empty: dict[str, list[dict[str, Any]]] = {"sources": [], "relations": [], "facts": []}
    changes = list(differences(recorded or empty, content))
    print("\n".join(changes) or f"'{arguments.file.name}' is what the installed packages give")
    if arguments.write:
        arguments.file.write_text(as_text(content), encoding="utf-8")
        print(f"{len(content['facts'])} facts of {len(content['relations'])} relations written to '{arguments.file}'")
        return 0
    return 1 if changes else 0


def recorded_facts(file: Path, parser: argparse.ArgumentParser) -> dict[str, Any] | None:
    """Return the content of a facts file, or ``None`` if it does not exist; exit if it is not a facts file."""
    if not file.exists():
        return None
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        return {**content, "sources": content["sources"], "relations": content["relations"], "facts": content["facts"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        parser.error(f"'{file}' is not a facts file ({' '.join(str(error).split())[:80]})")


def sample(recorded: dict[str, Any], number: int, seed: int) -> list[str]:
    """Return statements of N random facts, from each relation in proportion to its size, and at least three."""
    drawn = random.Random(seed)
    facts: dict[str, list[dict[str, Any]]] = {}
    for fact in recorded["facts"]:
        facts.setdefault(fact["relation"], []).append(fact)
    phrasings = {each["relation"]: each["phrasings"] for each in recorded["relations"]}
    counts = {name: max(3, round(number * len(found) / len(recorded["facts"]))) for name, found in facts.items()}
    largest = max(facts, key=lambda name: len(facts[name]))
    counts[largest] += number - sum(counts.values())
    return [
        f"{name} | {phrasings[name][0].replace('[X]', fact['subject']).replace('[Y]', fact['object'])}"
        for name, found in facts.items()
        for fact in drawn.sample(found, counts[name])
    ]


if __name__ == "__main__":
    sys.exit(main())
