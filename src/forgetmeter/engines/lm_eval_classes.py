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
from forgetmeter.models.location import refuse_pickled
from forgetmeter.scoring.generation.greedy import plain_settings
from forgetmeter.specs.suggestion import unknown

LM_EVAL = "lm_eval/"
_IN_PROCESS = ("hf", "hf-auto", "huggingface", "hf-multimodal", "hf-mistral3", "vllm", "vllm-vlm", "sglang")
"""Classes that open a model in this process, and run no code of its folder; others may unpickle what they open."""
_SAFE = frozenset(
    # Of transformers and vLLM: what runs no code, and opens no file but the model's. Others of their arguments name
    # classes, plug-ins or pickled files.
    (
        *("pretrained", "revision", "subfolder", "tokenizer", "tokenizer_revision", "use_fast_tokenizer", "gguf_file"),
        *("dtype", "softmax_dtype", "mixed_precision_dtype", "device", "parallelize", "device_map", "tp_plan"),
        *("max_memory_per_gpu", "max_cpu_memory", "batch_size", "max_batch_size", "max_length", "max_model_len"),
        *("truncation", "add_bos_token", "prefix_token_id", "attn_implementation", "experts_implementation"),
        *("load_in_8bit", "load_in_4bit", "bnb_4bit_quant_type", "bnb_4bit_compute_dtype", "gptqmodel", "autogptq"),
        *("quantization", "kv_cache_dtype", "gpu_memory_utilization", "mem_fraction_static", "cpu_offload_gb", "seed"),
        *("tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size", "tp_size", "dp_size"),
        *("max_num_seqs", "max_num_batched_tokens", "enforce_eager", "enable_prefix_caching", "swap_space"),
        *("logits_cache", "chat_template_args", "enable_thinking", "think_end_token", "max_gen_toks"),
    )
)
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
    is_remote = is_endpoint or _is_a(kind, "GGUFLM")
    if is_remote:
        _refuse_unknown(name, kind, arguments)
    if is_endpoint:
        _check_endpoint(name, short, arguments)
    if lacking := [each for each in _required(kind) if each not in arguments]:
        raise UserError(f"engine {name}: {lacking[0]} is missing; add {lacking[0]}=… to its arguments")
    if not is_remote:
        _refuse_unsafe(name, short, arguments)
    values = argument_values(arguments)

    def start(given: Mapping[str, Any]) -> Runtime:
        # lm-eval's cache confuses requests of the same text that are split at different places.
        shared: dict[str, Any] = {"logits_cache": False} if "logits_cache" in inspect.signature(kind).parameters else {}
        if _defaults_to_cuda(kind):
            shared["device"] = given["device"]
        if is_endpoint:
            # lm-eval reserves one token for the one that is always generated.
            shared = {"tokenizer_backend": "huggingface", **given, "max_length": given["max_length"] + 1}
        runtime: Any = (_checked(kind) if is_endpoint else kind)(**shared | values | _guards(kind, values))
        _write_greedily(runtime)
        return runtime  # type: ignore[no-any-return]

    return start


def _check_endpoint(name: str, short: str, arguments: Mapping[str, str]) -> None:
    if "base_url" not in arguments and short.startswith("local"):
        raise UserError(f"engine {name}: base_url is missing; give one, such as http://127.0.0.1:8000/v1/completions")
    if missing := [each for each in ("aiohttp", "tenacity") if find_spec(each) is None]:
        raise UserError(
            f"engine {name} needs {' and '.join(missing)}; install it with: pip install 'forgetmeter[engines]'"
        )


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


def _refuse_unsafe(name: str, short: str, arguments: Mapping[str, str]) -> None:
    """Refuse classes, arguments and folders by which a file could run code.

    Raises:
        UserError: There is one.
    """
    if short not in _IN_PROCESS:
        raise UserError(
            f"engine {name}: it may run code from the files that it opens, which is never allowed (allowed: "
            f"{', '.join(_IN_PROCESS)}, and endpoints); run the model in a server of its own, and ask it through "
            f"{LM_EVAL}local-completions"
        )
    if strange := next((key for key in arguments if key not in _SAFE), None):
        raise UserError(
            f"engine {name}: {unknown('argument', strange, sorted(_SAFE), most=12)}; other arguments may run code: run "
            f"the model in a server of its own, and ask it through {LM_EVAL}local-completions"
        )
    folder = Path(arguments.get("pretrained", "")).expanduser()
    if "gguf_file" not in arguments and folder.is_dir() and "pretrained" in arguments:
        refuse_pickled(folder, f"engine {name}")


def _guards(kind: type, values: Mapping[str, Any]) -> dict[str, bool]:
    """Return the arguments that keep a class from running code of what it opens."""
    found = {"trust_remote_code": False} if "trust_remote_code" in _parameters(kind) else {}
    # Passed on to transformers, which would otherwise open pickled weights.
    return found | ({"use_safetensors": True} if _is_a(kind, "HFLM") and "gguf_file" not in values else {})


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
