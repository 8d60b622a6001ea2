"""Arguments that hold secrets, which must not be stored."""

from __future__ import annotations

import re
from contextlib import suppress
from urllib.parse import urlsplit

_NAME = re.compile(
    r"(?i)auth|secret|password|credential|^headers?$|(^|_|api|access)key$|(^|_)(?<!(bos|eos|eot|end|pad|unk|sep|cls)_)token$"
)
"""A ``token`` is an access token, unless its name is that of a vocabulary's token, such as ``add_bos_token``."""


def is_secret(name: str, value: str) -> bool:
    """Return whether an argument holds a key or a password, judging by its name, or by an address in its value."""
    return bool(_NAME.search(name)) or _is_private_address(value)


def _is_private_address(value: str) -> bool:
    """Return whether an address contains a user name, a password, or query parameters, which are often keys."""
    with suppress(ValueError):
        parts = urlsplit(value)
        return bool(parts.scheme in ("http", "https") and (parts.username or parts.password or parts.query))
    return False
