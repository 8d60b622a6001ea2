"""Panics of libraries written in Rust, such as tokenizers: Python does not raise them as ``Exception``."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from forgetmeter.errors import UserError, one_line

_STDERR = 2


class PanicError(Exception):
    """A library panicked."""


@contextmanager
def panics_as_errors() -> Iterator[None]:
    """Turn panics into ``PanicError``; also a decorator."""
    try:
        yield
    except BaseException as error:
        # Each library has its own class, which cannot be imported.
        if type(error).__name__ == "PanicException":
            raise PanicError(str(error)) from error
        raise


@contextmanager
def refusing_panics(name: str) -> Iterator[None]:
    """Turn panics of a model's tokenizer into a one-line error.

    Raises:
        UserError: It panics.
    """
    try:
        with panics_as_errors():
            yield
    except PanicError as error:
        raise UserError(
            f"model '{name}': its tokenizer is damaged ({one_line(error)}); restore the original tokenizer"
        ) from error


@contextmanager
def without_panic_messages() -> Iterator[None]:
    """Discard standard error if a library panics, since Rust prints its own message there.

    If there is no panic, everything written in the meantime is printed at the end.
    """
    with tempfile.TemporaryFile() as held:
        try:
            shown = os.dup(_STDERR)
        except OSError:  # it is closed
            yield
            return
        os.dup2(held.fileno(), _STDERR)
        panicked = False
        try:
            yield
        except PanicError:
            panicked = True
            raise
        finally:
            os.dup2(shown, _STDERR)
            os.close(shown)
            if not panicked:
                held.seek(0)
                with suppress(OSError):
                    os.write(_STDERR, held.read())
