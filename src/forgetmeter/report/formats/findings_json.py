"""Findings as a JSON document."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from forgetmeter.basics.json_text import to_json
from forgetmeter.results.findings.finding import Finding


def findings_json(findings: Sequence[Finding], *, remarks: Sequence[str] = ()) -> str:
    """Return findings as JSON; effects are shares, from -1 to 1."""
    document = [
        {
            **asdict(finding.claim),
            "verdict": finding.verdict,
            "missing": finding.missing,
            "results": [asdict(result) for result in finding.results],
        }
        for finding in findings
    ]
    return to_json({"findings": document, "remarks": list(remarks)}).decode()
