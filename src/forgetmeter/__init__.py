"""forgetmeter measures what a language model forgets when it is compressed."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from forgetmeter.version import __version__

if TYPE_CHECKING:
    from forgetmeter.checkpoints.compressing import compress_checkpoint as compress_checkpoint
    from forgetmeter.compression.applying.compressor import compress as compress
    from forgetmeter.models.loading import load as load
    from forgetmeter.models.loading import wrap as wrap
    from forgetmeter.models.roles.weight_map import weight_map as weight_map
    from forgetmeter.results.gate.gating import gate as gate
    from forgetmeter.results.results import open_run as open_run
    from forgetmeter.study.comparing import compare as compare
    from forgetmeter.study.evaluation import evaluate as evaluate
    from forgetmeter.study.running import run as run

# Resolved on first use, so that `import forgetmeter` and `forgetmeter --help` load neither torch nor pandas.
_PUBLIC = {
    "compare": "forgetmeter.study.comparing",
    "compress": "forgetmeter.compression.applying.compressor",
    "compress_checkpoint": "forgetmeter.checkpoints.compressing",
    "evaluate": "forgetmeter.study.evaluation",
    "gate": "forgetmeter.results.gate.gating",
    "load": "forgetmeter.models.loading",
    "open_run": "forgetmeter.results.results",
    "run": "forgetmeter.study.running",
    "weight_map": "forgetmeter.models.roles.weight_map",
    "wrap": "forgetmeter.models.loading",
}

__all__ = [
    "__version__",
    "compare",
    "compress",
    "compress_checkpoint",
    "evaluate",
    "gate",
    "load",
    "open_run",
    "run",
    "weight_map",
    "wrap",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - the type depends on the name
    """Import a public name on first use."""
    if name in _PUBLIC:
        # Imports tqdm, which `import forgetmeter` need not wait for. transformers imports an installed torchao, which
        # logs every kernel missing on this machine.
        from forgetmeter.basics.quiet import quiet

        with quiet():
            return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'forgetmeter' has no attribute {name!r}")


def __dir__() -> list[str]:
    """Return the public names, which are imported only on first use."""
    return __all__
