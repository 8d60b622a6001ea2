"""What ``forgetmeter list methods`` says of a method."""

from __future__ import annotations

from forgetmeter.specs.method import MethodDeclaration
from forgetmeter.specs.role import Form

_LEVELS = {"none": "", "fraction": ":FRACTION", "bits": ":BITS"}
_EFFECTS = {
    "zeroes": "may follow any step",
    "rewrites": "not after a step that quantizes",
    "quantizes": "quantizes; only pruning may follow",
}
_FORMS: dict[Form, str] = {"linear": "nn.Linear", "conv1d": "Conv1D", "tensor": "experts"}


def method_text(declaration: MethodDeclaration) -> str:
    """Return a method's name, parameters, source and what takes it, as indented lines."""
    options = "".join(f"[:{key}={option.default_text()}]" for key, option in declaration.options.items())
    taken = ", ".join(_FORMS[form] for form in declaration.forms)
    lines = [
        declaration.summary,
        *(f"{key}: {option.meaning} ({option.values()})" for key, option in declaration.options.items()),
        f"reference: {declaration.reference}",
        f"takes: {', '.join(declaration.families)}; {declaration.scopes}; {taken}",
        f"order: {_EFFECTS[declaration.effect]}",
    ]
    head = f"{declaration.name}:SCOPE{_LEVELS[declaration.level]}{options}"
    return "\n    ".join([head, *lines])
