"""Passwords as they are kept."""

from __future__ import annotations

import hashlib

import pytest

from tagfs.errors import BadRequest
from tagfs.node import passwords
from tagfs.node.passwords import MAX_PASSWORD, NEVER, check_password, matches, scramble


def test_only_the_right_password_matches() -> None:
    """Composed and decomposed accents are the same password; bytes that are no UTF-8 are a password, too."""
    kept = scramble("caf\u00e9 \udcff")
    assert kept.startswith("scrypt$15$8$1$")
    assert matches("cafe\u0301 \udcff", kept)
    for wrong in ("cafe \udcff", "caf\u00e9 ", "", "x" * 5000):
        assert not matches(wrong, kept)
    assert scramble("a") != scramble("a")


def test_nothing_matches_the_kept_text_of_nobody() -> None:
    """And it is worked on as long as a real one: same parameters, same lengths."""
    assert not matches("", NEVER) and not matches("a", NEVER)
    real = scramble("a").split("$")
    assert [len(part) for part in NEVER.split("$")] == [len(part) for part in real]
    assert NEVER.split("$")[:4] == real[:4]


@pytest.mark.parametrize(
    "kept",
    [
        "",
        "plain",
        "scrypt$15$8$1$x$y",
        "scrypt$99$8$1$AAAA$AAAA",
        "scrypt$15$8$-1$AAAA$AAAA",
        "md5$1$1$1$AAAA$AAAA",
        "scrypt$1$1$1$AAAA$AAAA",
    ],
)
def test_a_kept_text_that_makes_no_sense_matches_nothing(kept: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does one that asks for absurd work: nothing at all is worked for it."""

    def work(*_: object, **__: object) -> bytes:
        raise AssertionError("it was worked on")

    monkeypatch.setattr(hashlib, "scrypt", work)
    assert not matches("a", kept)


def test_kept_with_other_parameters_it_matches_still(monkeypatch: pytest.MonkeyPatch) -> None:
    """Raising the parameters later keeps today's passwords."""
    monkeypatch.setattr(passwords, "_LOG_N", 10)
    kept = scramble("secret")
    monkeypatch.undo()
    assert kept.startswith("scrypt$10$") and matches("secret", kept) and not matches("Secret", kept)


def test_passwords_are_bounded() -> None:
    """None is empty, and none so long that hashing it costs."""
    assert check_password("x" * MAX_PASSWORD)
    for wrong in ("", "x" * (MAX_PASSWORD + 1), "é" * MAX_PASSWORD):
        with pytest.raises(BadRequest):
            check_password(wrong)
