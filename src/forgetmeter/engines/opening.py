"""Finds the engine that a reference names."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from forgetmeter.engines.external_engine import ExternalEngine, Runtime
from forgetmeter.errors import UserError
from forgetmeter.models.checkpoint import Checkpoint
from forgetmeter.models.loaded import Loaded
from forgetmeter.scoring.batch_invariance.limits import max_length
from forgetmeter.specs.model_reference import ModelReference, engine_of
from forgetmeter.specs.suggestion import unknown

_LM_EVAL = "lm_eval/"
LLAMA_CPP = "llama_cpp"
_LLAMA_CPP_ARGUMENTS = ("file", "n_ctx", "n_threads", "n_gpu_layers")
_SECRETS = re.compile(r"(?i)auth|api_?key|secret|password|credential|^headers?$|^(hf_|access_)?token$")
_CONTEXT = 2048
"""Tokens that llama.cpp reads by default: it keeps the logits of all of them."""
_CODE = "trust_remote_code"
_NOT_INSTALLED = "install it with: pip install 'forgetmeter[{}]'"


def engine_problems(reference: ModelReference) -> list[str]:
    """Check an engine's name and arguments, without starting it."""
    name, arguments = engine_of(reference)
    try:
        for key, value in arguments.items():
            if _SECRETS.search(key) or _has_password(value):
                raise UserError(
                    f"engine {name}: {key} would be stored in the run; set an environment variable instead, such as "
                    "OPENAI_API_KEY or HF_TOKEN"
                )
            if key == _CODE:
                raise UserError(f"engine {name}: {_CODE} is never allowed; run such a model in its own server")
        _starter(name, arguments)
    except UserError as error:
        return [str(error)]
    return []


def _has_password(value: str) -> bool:
    """Whether an address contains a user name, a password or parameters, which are often keys."""
    with suppress(ValueError):
        parts = urlsplit(value)
        return bool(parts.scheme in ("http", "https") and (parts.username or parts.password or parts.query))
    return False


def open_engine(reference: ModelReference, baseline: Checkpoint) -> ExternalEngine:
    """Return an engine, which starts on first use.

    Args:
        reference: Its name and arguments.
        baseline: The model that it is compared with. An endpoint is asked with its tokenizer and up to its number of
            tokens, unless the arguments say otherwise.

    Raises:
        UserError: The engine is unknown, or an argument is missing or wrong.
    """
    name, arguments = engine_of(reference)
    start = _starter(name, arguments)
    size = Path(arguments["file"]).expanduser().stat().st_size if name == LLAMA_CPP else None
    length = max_length(baseline.skeleton, baseline.tokenizer, baseline.name)
    # For endpoints, lm-eval omits the beginning-of-sequence token by default; for transformers, it does not.
    is_begun = bool(
        baseline.tokenizer("a")["input_ids"] != baseline.tokenizer("a", add_special_tokens=False)["input_ids"]
    )
    shared = {"tokenizer": str(baseline.tokenizer_folder), "max_length": length, "add_bos_token": is_begun}
    loaded = Loaded(baseline.skeleton, baseline.tokenizer, baseline.family, baseline.name)
    return ExternalEngine(reference, lambda: start(shared), loaded, stored_bytes=size)


def _starter(name: str, arguments: Mapping[str, str]) -> Callable[[Mapping[str, Any]], Runtime]:
    """Return what starts an engine, given what an endpoint shares with the baseline.

    Raises:
        UserError: The engine is unknown, or an argument is missing or wrong.
    """
    if name == LLAMA_CPP:
        return _llama_cpp(arguments)
    if name.startswith(_LM_EVAL):
        return _lm_eval(name, arguments)
    raise UserError(unknown("engine", name, [f"{_LM_EVAL}NAME", LLAMA_CPP]))


def _llama_cpp(arguments: Mapping[str, str]) -> Callable[[Mapping[str, Any]], Runtime]:
    if find_spec(LLAMA_CPP) is None:
        raise UserError(f"engine {LLAMA_CPP} is not installed; {_NOT_INSTALLED.format('llama-cpp')}")
    path = Path(arguments.get("file", "")).expanduser()
    if not path.is_file():
        raise UserError(f"engine {LLAMA_CPP}: file={arguments.get('file', '')} must name a GGUF file")
    values = _values(arguments)
    if other := next((key for key in values if key not in _LLAMA_CPP_ARGUMENTS), None):
        raise UserError(f"engine {LLAMA_CPP}: " + unknown("argument", other, _LLAMA_CPP_ARGUMENTS))
    module = import_module("forgetmeter.engines.llama_cpp_runtime")
    return lambda given: module.LlamaCpp(**{"n_ctx": min(given["max_length"], _CONTEXT)} | values | {"file": path})


def _lm_eval(name: str, arguments: Mapping[str, str]) -> Callable[[Mapping[str, Any]], Runtime]:
    import lm_eval.models  # noqa: F401 - fills the registry
    from lm_eval.api.registry import model_registry

    short = name.removeprefix(_LM_EVAL)
    if short not in model_registry:
        raise UserError(unknown("engine", name, [f"{_LM_EVAL}{each}" for each in sorted(model_registry)], most=40))
    try:
        kind: Any = model_registry.get(short)
    except ModuleNotFoundError as error:
        raise UserError(f"engine {name}: the package {error.name} is not installed") from error
    is_endpoint = _is_endpoint(kind)
    if is_endpoint and "base_url" not in arguments and short.startswith("local"):
        raise UserError(f"engine {name}: base_url is missing, such as http://127.0.0.1:8000/v1/completions")
    if is_endpoint and (missing := [each for each in ("aiohttp", "tenacity") if find_spec(each) is None]):
        raise UserError(f"engine {name} needs {' and '.join(missing)}; {_NOT_INSTALLED.format('engines')}")
    values = _values(arguments)

    def start(given: Mapping[str, Any]) -> Runtime:
        # lm-eval's cache confuses requests of the same text that are split at different places.
        shared: dict[str, Any] = {"logits_cache": False} if "logits_cache" in inspect.signature(kind).parameters else {}
        if is_endpoint:
            # lm-eval reserves one token for the one that is always generated.
            shared = {"tokenizer_backend": "huggingface", **given, "max_length": given["max_length"] + 1}
        runtime: Runtime = kind(**shared | values)
        return runtime

    return start


def _is_endpoint(kind: type) -> bool:
    return any(parent.__name__ == "TemplateAPI" for parent in inspect.getmro(kind))


def _values(arguments: Mapping[str, str]) -> dict[str, Any]:
    """Return arguments as lm-evaluation-harness reads them in ``--model_args``, with ``~`` as the home folder."""
    from lm_eval.utils import handle_arg_string

    return {
        key: str(Path(value).expanduser()) if value.startswith("~") else handle_arg_string(value)
        for key, value in arguments.items()
    }
