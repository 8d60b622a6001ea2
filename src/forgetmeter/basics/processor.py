"""The name of the processor."""

from __future__ import annotations

import platform


def processor_name() -> str:
    """Return the processor's name, which Linux has only in a file."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as stream:  # noqa: PTH123 - not a file of ours
            names = [line.partition(":")[2].strip() for line in stream if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor()
