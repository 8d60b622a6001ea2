"""Finds the engine that a reference names."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from forgetmeter.basics.secret_arguments import is_secret
from forgetmeter.config.study import Device
from forgetmeter.engines.external_engine import ExternalEngine
from forgetmeter.engines.lm_eval_classes import LM_EVAL, Start, argument_values, lm_eval_class
from forgetmeter.errors import UserError
from forgetmeter.models.checkpoint import Checkpoint
from forgetmeter.models.loaded import Loaded
from forgetmeter.models.loading import resolve_device
from forgetmeter.scoring.batch_invariance.limits import max_length
from forgetmeter.scoring.tokens.tokenization import added_tokens
from forgetmeter.specs.model_reference import ModelReference, engine_of
from forgetmeter.specs.suggestion import unknown

LLAMA_CPP = "llama_cpp"
_LLAMA_CPP_ARGUMENTS = ("file", "n_ctx", "n_threads", "n_gpu_layers")
_CONTEXT = 2048
"""Tokens that llama.cpp reads by default: it keeps the logits of all of them."""
_CODE = "trust_remote_code"
_PATHS = ("./", "../", "/", "~/")


def engine_problems(reference: ModelReference) -> list[str]:
    """Check an engine's name and arguments, without starting it."""
    name, arguments = engine_of(reference)
    try:
        for key, value in arguments.items():
            if is_secret(key, value):
                raise UserError(
                    f"engine {name}: {key} would be stored in the run; set an environment variable instead, such as "
                    "OPENAI_API_KEY or HF_TOKEN"
                )
            if key == _CODE:
                raise UserError(
                    f"engine {name}: {_CODE} is never allowed; run a model that needs its own code in a server of its "
                    "own"
                )
        model = arguments.get("pretrained", "")
        # An endpoint may call its model by a path on its own machine.
        if "base_url" not in arguments and model.startswith(_PATHS) and not Path(model).expanduser().exists():
            raise UserError(f"engine {name}: pretrained '{model}' does not exist; check the path")
        _starter(name, arguments)
    except UserError as error:
        return [str(error)]
    return []


def open_engine(reference: ModelReference, baseline: Checkpoint, *, device: Device = "auto") -> ExternalEngine:
    """Return an engine, which starts on first use.

    Args:
        reference: Its name and arguments.
        baseline: The model that it is compared with. An endpoint is asked with its tokenizer and up to its number of
            tokens, unless the arguments say otherwise.
        device: The device of a class of lm-evaluation-harness that would use CUDA by default.

    Raises:
        UserError: The engine is unknown, an argument is missing or wrong, or the device is not available.
    """
    name, arguments = engine_of(reference)
    start = _starter(name, arguments)
    size = Path(arguments["file"]).expanduser().stat().st_size if name == LLAMA_CPP else None
    length = max_length(baseline.skeleton, baseline.tokenizer, baseline.name)
    # For endpoints, lm-eval omits the beginning-of-sequence token by default; for transformers, it does not.
    is_begun = bool(added_tokens(baseline.tokenizer).before)
    shared = {"tokenizer": str(baseline.tokenizer_folder), "max_length": length, "add_bos_token": is_begun}
    shared |= {"device": resolve_device(device)}
    loaded = Loaded(baseline.skeleton, baseline.tokenizer, baseline.family, baseline.name)
    return ExternalEngine(reference, lambda: start(shared), loaded, stored_bytes=size)


def _starter(name: str, arguments: Mapping[str, str]) -> Start:
    """Return what starts an engine, given the device, and what an endpoint shares with the baseline.

    Raises:
        UserError: The engine is unknown, or an argument is missing or wrong.
    """
    if name == LLAMA_CPP:
        return _llama_cpp(arguments)
    if name.startswith(LM_EVAL):
        return lm_eval_class(name, arguments)
    raise UserError(unknown("engine", name, [f"{LM_EVAL}NAME", LLAMA_CPP]))


def _llama_cpp(arguments: Mapping[str, str]) -> Start:
    if find_spec(LLAMA_CPP) is None:
        raise UserError(f"engine {LLAMA_CPP} is not installed; install it with: pip install 'forgetmeter[llama-cpp]'")
    path = Path(arguments.get("file", "")).expanduser()
    if not path.is_file():
        raise UserError(f"engine {LLAMA_CPP}: file={arguments.get('file', '')} is not a file; name a GGUF file")
    values = argument_values(arguments)
    if other := next((key for key in values if key not in _LLAMA_CPP_ARGUMENTS), None):
        raise UserError(f"engine {LLAMA_CPP}: " + unknown("argument", other, _LLAMA_CPP_ARGUMENTS))
    module = import_module("forgetmeter.engines.llama_cpp_runtime")
    return lambda given: module.LlamaCpp(**{"n_ctx": min(given["max_length"], _CONTEXT)} | values | {"file": path})
