"""Entry ids as two 64-bit numbers, many at a time. Layer: storage.

An id is 128 bits in 26 letters of Crockford's base 32 (:mod:`tagfs.model.entry`). Each half is kept as a signed
number, less 2**63, so that halves compare as the text does and are like every other number of a row.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tagfs.model.entry import ID_LENGTH

Numbers = NDArray[np.int64]

_LETTERS = "0123456789abcdefghjkmnpqrstvwxyz"
_TO_DIGITS = str.maketrans(_LETTERS, "0123456789abcdefghijklmnopqrstuv")
_LETTER_OF = np.frombuffer(_LETTERS.encode(), dtype=np.uint8)
_VALUE_OF = np.zeros(256, dtype=np.uint64)
_VALUE_OF[_LETTER_OF] = np.arange(32, dtype=np.uint64)
_HALF = (1 << 64) - 1
_MIDDLE = 1 << 63


def halves(identifier: str) -> tuple[int, int]:
    """The first and the last 64 bits of one id."""
    number = int(identifier.translate(_TO_DIGITS), 32) >> 2
    return (number >> 64) - _MIDDLE, (number & _HALF) - _MIDDLE


def decode(identifiers: Sequence[str]) -> tuple[Numbers, Numbers]:
    """:func:`halves` of many ids."""
    letters = np.frombuffer("".join(identifiers).encode(), dtype=np.uint8).reshape(len(identifiers), ID_LENGTH)
    digits = _VALUE_OF[letters.T]
    high = np.zeros(len(identifiers), dtype=np.uint64)
    low = np.zeros(len(identifiers), dtype=np.uint64)
    for place in range(12):
        high |= digits[place] << np.uint64(59 - 5 * place)
        low |= digits[place + 13] << np.uint64(58 - 5 * place)
    high |= digits[12] >> np.uint64(1)
    low |= digits[12] << np.uint64(63)
    low |= digits[25] >> np.uint64(2)
    return _shifted(high).view(np.int64), _shifted(low).view(np.int64)


def encode(high: Numbers, low: Numbers) -> list[str]:
    """The ids whose halves these are."""
    digits = np.empty((ID_LENGTH, len(high)), dtype=np.uint64)
    first, last = _shifted(high.view(np.uint64)), _shifted(low.view(np.uint64))
    for place in range(12):
        digits[place] = first >> np.uint64(59 - 5 * place)
        digits[place + 13] = last >> np.uint64(58 - 5 * place)
    digits[12] = first << np.uint64(1) | last >> np.uint64(63)
    digits[25] = last << np.uint64(2)
    text = _LETTER_OF[(digits & np.uint64(31)).T].tobytes().decode()
    return [text[start : start + ID_LENGTH] for start in range(0, len(text), ID_LENGTH)]


def unsigned(half: Numbers) -> NDArray[np.uint64]:
    """The halves as they are in the bytes of the ids."""
    return _shifted(half.view(np.uint64))


def _shifted(half: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Adds or takes off 2**63, which is the same modulo 2**64."""
    return half ^ np.uint64(_MIDDLE)
