"""The model classes of lm-evaluation-harness, which start other runtimes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from forgetmeter.engines.endpoint import CompletionsEndpoint, Endpoint
from forgetmeter.engines.external_engine import Runtime
from forgetmeter.errors import UserError, one_line
from forgetmeter.scoring.generation.greedy import plain_settings
from forgetmeter.specs.suggestion import unknown

LM_EVAL = "lm_eval/"
Start = Callable[[Mapping[str, Any]], Runtime]
"""Starts an engine, given the device, and what an endpoint shares with the baseline."""


def lm_eval_class(name: str, arguments: Mapping[str, str]) -> Start:
    """Return what starts one of the classes.

    Raises:
        UserError: The class is unknown, cannot be imported or gives no log-likelihoods, or an argument is missing or
            unknown.
    """
    short = name.removeprefix(LM_EVAL)
    kind = _kind(name)
    # A chat endpoint puts its template around what it is asked, and gives no log-probabilities.
    if "Chat" in kind.__name__:
        raise UserError(
            f"engine {name}: a chat endpoint gives no log-probabilities, and puts its own template around a question, "
            "so its questions would differ from the baseline's; use the same server through "
            f"{LM_EVAL}local-completions, with base_url=…/v1/completions"
        )
    is_endpoint = _is_a(kind, "TemplateAPI")
    if is_endpoint or _is_a(kind, "GGUFLM"):
        _refuse_unknown(name, kind, arguments)
    if is_endpoint and "base_url" not in arguments and short.startswith("local"):
        raise UserError(f"engine {name}: base_url is missing; give one, such as http://127.0.0.1:8000/v1/completions")
    if is_endpoint and (missing := [each for each in ("aiohttp", "tenacity") if find_spec(each) is None]):
        raise UserError(
            f"engine {name} needs {' and '.join(missing)}; install it with: pip install 'forgetmeter[engines]'"
        )
    if lacking := [each for each in _required(kind) if each not in arguments]:
        raise UserError(f"engine {name}: {lacking[0]} is missing; add {lacking[0]}=… to its arguments")
    values = argument_values(arguments)

    def start(given: Mapping[str, Any]) -> Runtime:
        # lm-eval's cache confuses requests of the same text that are split at different places.
        shared: dict[str, Any] = {"logits_cache": False} if "logits_cache" in inspect.signature(kind).parameters else {}
        if _defaults_to_cuda(kind):
            shared["device"] = given["device"]
        if is_endpoint:
            # lm-eval reserves one token for the one that is always generated.
            shared = {"tokenizer_backend": "huggingface", **given, "max_length": given["max_length"] + 1}
        runtime: Any = (_checked(kind) if is_endpoint else kind)(**shared | values)
        _write_greedily(runtime)
        return runtime  # type: ignore[no-any-return]

    return start


def argument_values(arguments: Mapping[str, str]) -> dict[str, Any]:
    """Return arguments as lm-evaluation-harness reads them in ``--model_args``, with ``~`` as the home folder."""
    from lm_eval.utils import handle_arg_string

    return {
        key: str(Path(value).expanduser()) if value.startswith("~") else handle_arg_string(value)
        for key, value in arguments.items()
    }


def _kind(name: str) -> Any:  # noqa: ANN401
    import lm_eval.models  # noqa: F401 - fills the registry
    from lm_eval.api.registry import model_registry

    short = name.removeprefix(LM_EVAL)
    if short not in model_registry:
        raise UserError(unknown("engine", name, [f"{LM_EVAL}{each}" for each in sorted(model_registry)], most=40))
    try:
        return model_registry.get(short)
    except ModuleNotFoundError as error:
        raise UserError(f"engine {name} needs the package {error.name}, which is not installed; install it") from error
    except ValueError as error:
        raise UserError(f"engine {name} cannot be imported: {one_line(error)}") from error


def _is_a(kind: type, parent: str) -> bool:
    return any(each.__name__ == parent for each in inspect.getmro(kind))


def _parameters(kind: type) -> dict[str, inspect.Parameter]:
    """Return the parameters of a class, with those to which its parents' ``**kwargs`` go."""
    found: dict[str, inspect.Parameter] = {}
    for each in inspect.getmro(kind):
        if "__init__" in vars(each) and each is not object:
            own = inspect.signature(vars(each)["__init__"]).parameters
            found = {**own, **found}
            if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in own.values()):
                break
    return {key: value for key, value in found.items() if value.kind is value.POSITIONAL_OR_KEYWORD and key != "self"}


def _defaults_to_cuda(kind: type) -> bool:
    """Return whether a class would use a CUDA device by default, even where there is none."""
    device = _parameters(kind).get("device")
    return device is not None and device.default == "cuda"


def _refuse_unknown(name: str, kind: type, arguments: Mapping[str, str]) -> None:
    """Refuse arguments that the class would take and ignore; other runtimes refuse them as they start."""
    known = sorted(_parameters(kind))
    if strange := next((key for key in arguments if key not in known), None):
        raise UserError(f"engine {name}: " + unknown("argument", strange, known, most=40))


def _required(kind: type) -> list[str]:
    given = inspect.signature(kind).parameters.values()
    return [each.name for each in given if each.default is each.empty and each.kind is each.POSITIONAL_OR_KEYWORD]


def _checked(kind: type) -> type:
    """Return the class of an endpoint with checks on its answers."""
    from lm_eval.models.openai_completions import LocalCompletionsAPI

    is_plain = getattr(kind, "parse_logprobs", None) is LocalCompletionsAPI.parse_logprobs
    return type(kind.__name__, (CompletionsEndpoint if is_plain else Endpoint, kind), {})


def _write_greedily(runtime: Any) -> None:  # noqa: ANN401
    """Remove settings that a model's ``generation_config.json`` adds to those of a task, such as a penalty."""
    model: Any = getattr(runtime, "model", None)
    own = getattr(model, "generation_config", None)
    if own is not None:
        model.generation_config = plain_settings(model, runtime.tokenizer, own.pad_token_id)
