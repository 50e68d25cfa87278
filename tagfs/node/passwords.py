"""Passwords as they are kept: scrypt with a salt per user. Layer: node.

Sources: RFC 7914 (scrypt), RFC 8265 section 4.2 (passwords are compared in NFC). The parameters stand in the kept text,
``scrypt$15$8$1$salt$hash`` (binary logarithm of N, r, p; salt and hash in base64), so that they can be raised later.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
from unicodedata import normalize

from tagfs.errors import BadRequest

MAX_PASSWORD = 1024
"""Most bytes of a password."""
_LOG_N, _R, _P = 15, 8, 1
"""32 MiB and some 100 ms for each guess."""
_MAX_LOG_N, _MAX_R, _MAX_P = 17, 16, 4
"""Records come from other nodes as well: no more than this is ever worked for one of them."""
_SALT_BYTES = 16
_HASH_BYTES = 32
NEVER = f"scrypt${_LOG_N}${_R}${_P}${'A' * 22}==${'A' * 43}="
"""A kept text that no password matches, and that takes as long to find that out as any other."""


def check_password(password: str) -> str:
    """``password`` as one that can be kept. Raises BadRequest."""
    if not 0 < len(_bytes(password)) <= MAX_PASSWORD:
        raise BadRequest(f"a password has 1 to {MAX_PASSWORD} bytes")
    return password


def scramble(password: str) -> str:
    """What is kept of a password. Takes a tenth of a second and 32 MiB."""
    salt = os.urandom(_SALT_BYTES)
    made = _scrypt(password, salt, _LOG_N, _R, _P)
    return "$".join(("scrypt", str(_LOG_N), str(_R), str(_P), _text(salt), _text(made)))


def matches(password: str, kept: str) -> bool:
    """Whether a password is the one that :func:`scramble` was given; as slow. False for a kept text that cannot be read."""
    try:
        scheme, log_n, r, p, salt, wanted = kept.split("$")
        costs = int(log_n), int(r), int(p)
        salt_bytes, wanted_bytes = base64.b64decode(salt, validate=True), base64.b64decode(wanted, validate=True)
    except ValueError:
        return False
    within = all(0 < cost <= most for cost, most in zip(costs, (_MAX_LOG_N, _MAX_R, _MAX_P), strict=True))
    if scheme != "scrypt" or not within or len(wanted_bytes) != _HASH_BYTES or len(_bytes(password)) > MAX_PASSWORD:
        return False
    return hmac.compare_digest(_scrypt(password, salt_bytes, *costs), wanted_bytes)


def _scrypt(password: str, salt: bytes, log_n: int, r: int, p: int) -> bytes:
    n = 1 << log_n
    memory = 128 * r * (n + p + 2)
    return hashlib.scrypt(_bytes(password), salt=salt, n=n, r=r, p=p, maxmem=2 * memory, dklen=_HASH_BYTES)


def _bytes(password: str) -> bytes:
    # What a client sent that is no UTF-8 comes as surrogates, and is compared as the bytes it was.
    return normalize("NFC", password).encode("utf-8", "surrogateescape")


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
