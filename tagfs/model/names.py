"""Rules for tags, file names and homes: what is allowed, and what counts as the same. Layer: model.

Sources: Unicode Standard section 3.13 (D145, canonical caseless matching) and Annex #15 (NFC).
"""

from __future__ import annotations

import re
from functools import lru_cache
from unicodedata import normalize

from tagfs.errors import BadRequest

MAX_NAME = 255
"""Most bytes (UTF-8) of a tag or a file name; the bound of common file systems."""
MAX_HOME = 4096
"""Most bytes (UTF-8) of a home; PATH_MAX of Linux."""

_SURROGATE = re.compile("[\ud800-\udfff]")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_SHOWN = 60
"""Characters of a refused text that a message repeats."""


def fold(text: str) -> str:
    """The form in which tags compare: equal for texts that differ only in case or in Unicode composition.

    NFC, and a fixed point: ``fold(fold(x)) == fold(x)``.
    """
    if text.isascii():
        return text.lower()
    return normalize("NFC", normalize("NFD", text).casefold())


def name_key(text: str) -> str:
    """The form in which file names, homes and names of saved searches compare: NFC, case-sensitive."""
    return text if text.isascii() else normalize("NFC", text)


@lru_cache(maxsize=1 << 14)  # the same tags come again and again, and each is looked at by door and node
def check_tag(text: str) -> str:
    """``text`` as a tag, in NFC and otherwise spelled as given.

    A tag has 1 to 255 bytes of UTF-8 (folded, too), no control characters, line separators or ``/``, does not begin
    with ``-`` or ``@``, neither begins nor ends with white space, and is not ``.`` or ``..`` (a tag is a
    directory of the FTP door). Raises :class:`~tagfs.errors.BadRequest` saying what is wrong and where.
    """
    fault = tag_fault(text)
    if fault is not None:
        raise _refusal("tag", text, *fault)
    return name_key(text)


def tag_fault(text: str) -> tuple[int, str] | None:
    """What keeps ``text`` from being a tag, as (index of the offending character, reason); None where it is one."""
    if not text:
        return 0, "a tag is not empty"
    if text[0] in "-@":
        return 0, f'a tag does not begin with "{text[0]}"'
    if text[0].isspace():
        return 0, "a tag does not begin with white space"
    slash = text.find("/")
    if slash >= 0:
        return slash, 'a tag has no "/"'
    fault = character_fault(text, "tag")
    if fault is not None:
        return fault
    if text[-1].isspace():
        return len(text) - 1, "a tag does not end with white space"
    if text in (".", ".."):
        return 0, f'"{text}" is no tag: it would be a directory that paths cannot name'
    return _length_fault(text, "tag", name_key(text), fold(text))


def check_name(text: str) -> str:
    """``text`` as a file name, exactly as given.

    A name has 1 to 255 bytes of UTF-8 (in NFC, too), no control characters, line separators or ``/``, and is not
    ``.`` or ``..``. Raises :class:`~tagfs.errors.BadRequest` saying what is wrong and where.
    """
    fault = _name_fault(text)
    if fault is not None:
        raise _refusal("file name", text, *fault)
    return text


def check_home(text: str) -> str:
    """``text`` as a home in NFC: the path of a folder, ``a/b/c``, of valid file names; empty for the top.

    At most 4096 bytes. Raises :class:`~tagfs.errors.BadRequest` saying what is wrong and where.
    """
    start = 0
    for part in text.split("/") if text else ():
        fault = _name_fault(part)
        if fault is not None:
            raise _refusal("folder", text, start + fault[0], fault[1])
        start += len(part) + 1
    home = name_key(text)
    if len(home.encode()) > MAX_HOME:
        raise _refusal("folder", text, 0, f"a folder's path has at most {MAX_HOME} bytes")
    return home


def split_tag(tag: str) -> tuple[str, str] | None:
    """Key and value of a tag ``key=value``, parted at the first ``=``; None for a tag without a key."""
    key, equals, value = tag.partition("=")
    return (key, value) if equals and key else None


def short_id(entry_id: str, length: int = 6) -> str:
    """The last characters of an entry id: they are random, where the first ones only tell the time."""
    return entry_id[-length:]


def character_fault(text: str, what: str) -> tuple[int, str] | None:
    """Where ``text`` has a character that no name may have: (its index, the reason); None where it has none."""
    if text.isprintable():
        return None  # neither control characters nor surrogates are printable; most texts end here
    found = _SURROGATE.search(text)
    if found:
        return found.start(), f"a {what} is Unicode text, and this is not (bytes that are no UTF-8?)"
    found = _CONTROL.search(text)
    if found:
        return found.start(), f"a {what} has no control characters, and this is U+{ord(found[0]):04X}"
    return None


def _name_fault(text: str) -> tuple[int, str] | None:
    if not text:
        return 0, "a file name is not empty"
    slash = text.find("/")
    if slash >= 0:
        return slash, 'a file name has no "/"'
    if text in (".", ".."):
        return 0, f'"{text}" names a directory'
    return character_fault(text, "file name") or _length_fault(text, "file name", name_key(text))


def _length_fault(text: str, what: str, *forms: str) -> tuple[int, str] | None:
    # Composing and folding may lengthen a text; the forms that are stored must fit as well.
    longest = len(text) if text.isascii() else max(len(form.encode()) for form in (text, *forms))
    if longest > MAX_NAME:
        return 0, f"a {what} has at most {MAX_NAME} bytes, and this has {longest}"
    return None


def _refusal(what: str, text: str, index: int, reason: str) -> BadRequest:
    shown = repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "…")
    return BadRequest(f"{what} {shown}: character {index + 1}: {reason}")
