"""Keeps libraries' progress bars and warnings out of the output."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import wraps
from typing import Any

from tqdm import tqdm

from forgetmeter.errors import ShownWarning


@contextmanager
def quiet(level: int = logging.WARNING) -> Iterator[None]:
    """Suppress progress bars of tqdm, logged and Python warnings; also a decorator. All are restored at the end.

    Streams stay as they are: a library imported in the meantime may keep the one it finds. Problems are raised as
    errors, and what users should know is a ``ShownWarning``.

    Args:
        level: Highest level of what is logged that is suppressed.
    """
    bars: Any = tqdm
    plain, disabled = bars.__init__, logging.root.manager.disable

    # Some libraries turn their bars on explicitly, so tqdm's own environment variable does not suffice.
    @wraps(plain)
    def without_bar(self: Any, *arguments: Any, **options: Any) -> None:  # noqa: ANN401
        plain(self, *arguments, **{**options, "disable": True})

    if disabled < level:
        # Costs a millisecond: it visits every logger.
        logging.disable(level)
    bars.__init__ = without_bar
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("default", ShownWarning)
            yield
    finally:
        bars.__init__ = plain
        if disabled < level:
            logging.disable(disabled)


@contextmanager
def without_loguru() -> Iterator[None]:
    """Suppress what compressed-tensors logs through loguru, which bypasses Python's logging.

    Apart from ``quiet``, because importing loguru takes as long as a command's help.
    """
    with suppress(ImportError):  # installed with compressed-tensors
        from loguru import logger

        logger.disable("compressed_tensors")
    try:
        yield
    finally:
        with suppress(ImportError):
            from loguru import logger

            logger.enable("compressed_tensors")
