"""Names of variants whose answers come from logs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from forgetmeter.importing.lm_eval.log_files import SECRET, Logs

_NAMING = ("pretrained", "model", "path")


def variant_names(logs: Sequence[Logs]) -> list[str]:
    """Return a name for each variant: its model's, with what differs if several share it.

    A checkpoint that was loaded in two ways is one model with different arguments. Models without any difference are
    named by the folders of their logs, and numbered if these have the same name.
    """
    arguments = [_arguments(each) for each in logs]
    models = [_model(each, own) for each, own in zip(logs, arguments, strict=True)]
    ways: tuple[Callable[[int], str], ...] = (
        lambda place: models[place],
        lambda place: f"{models[place]} ({_differing(place, models, arguments)})",
        lambda place: f"{models[place]} ({logs[place].folder.resolve().name})",
        lambda place: f"{models[place]} ({place + 1})",
    )
    names = models
    for way in ways[1:]:
        counts = Counter(names)
        names = [name if counts[name] == 1 else way(place) for place, name in enumerate(names)]
    return names


def _arguments(logs: Logs) -> dict[str, str]:
    pairs = (part.partition("=") for part in logs.results.model_args.split(",") if "=" in part)
    return {key.strip(): value.strip() for key, _, value in pairs if value != SECRET}


def _model(logs: Logs, arguments: dict[str, str]) -> str:
    given = [arguments[key] for key in _NAMING if arguments.get(key)]
    known = logs.results.document.get("model_name")
    name = given[0] if given else known if isinstance(known, str) else ""
    # For a path, the last folder; a Hub id has one slash and is not a path.
    is_path = name.startswith(("/", ".", "~")) or name.count("/") > 1
    return (name.rstrip("/").rpartition("/")[2] if is_path else name) or logs.folder.resolve().name


def _differing(place: int, models: Sequence[str], arguments: Sequence[dict[str, str]]) -> str:
    """Return the arguments of a model that not all others of the same name share."""
    alike = [set(own.items()) for name, own in zip(models, arguments, strict=True) if name == models[place]]
    own = (pair for pair in arguments[place].items() if pair not in set.intersection(*alike))
    return ", ".join(f"{key}={value}" for key, value in own) or "as it is"
