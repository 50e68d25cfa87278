"""Guessing gets slow, in bounded memory, and locks nobody out."""

from __future__ import annotations

import pytest

from tagfs.errors import Throttled
from tagfs.node import throttle as throttle_module
from tagfs.node.throttle import FORGET_S, FREE_ADDRESS, FREE_USER, MAX_WAIT_S, Throttle, network


def waits(throttle: Throttle, user: str, address: str, number: int, now_s: float = 0.0) -> list[float]:
    """How long each of some attempts at one moment has to wait; those that are refused are left out."""
    found = []
    for _ in range(number):
        try:
            found.append(throttle.attempt(user, address, now_s).wait_s)
        except Throttled:
            break
    return found


def test_attempts_at_one_user_wait_twice_as_long_each_time() -> None:
    """Many at once gain nothing: they stand in line, and those too far behind are refused."""
    throttle = Throttle()
    assert waits(throttle, "ann", "192.0.2.1", 100) == [0.0] * FREE_USER + [0.5, 1.5, 3.5, 7.5, 15.5]
    with pytest.raises(Throttled, match="try again in 3"):
        throttle.attempt("ann", "192.0.2.99", 0.0)
    assert throttle.attempt("bob", "192.0.2.1", 0.0).wait_s == 0


def test_an_address_that_tries_many_names_is_slowed_down() -> None:
    """Also by IPv6, where everybody has billions of addresses: those of one /64 count as one."""
    throttle = Throttle()
    found = [throttle.attempt(f"u{n}", f"2001:db8::{n:x}", 0.0).wait_s for n in range(FREE_ADDRESS + 3)]
    assert found[:FREE_ADDRESS] == [0.0] * FREE_ADDRESS and found[-1] > found[-2] > 0
    assert throttle.delays("2001:db8::ffff", 0.0) and not throttle.delays("2001:db8:0:1::1", 0.0)
    assert throttle.attempt("new", "2001:db8:0:1::1", 0.0).wait_s == 0


def test_right_passwords_cost_nothing() -> None:
    """Who logs in a thousand times never waits; undoing one's own attempts does not undo those of others."""
    throttle = Throttle()
    for _ in range(1000):
        attempt = throttle.attempt("ann", "192.0.2.1", 0.0)
        assert attempt.wait_s == 0
        attempt.succeeded()
    for n in range(FREE_ADDRESS - 1):
        throttle.attempt(f"u{n}", "192.0.2.1", 0.0)
    for _ in range(5):
        throttle.attempt("ann", "192.0.2.1", 0.0).succeeded()
    assert throttle.attempt("x", "192.0.2.1", 0.0).wait_s == 0
    assert throttle.attempt("y", "192.0.2.1", 0.0).wait_s == 0.5


def test_nobody_is_locked_out_by_others() -> None:
    """A user known at an address does not wait there for what is guessed at the name from elsewhere."""
    throttle = Throttle()
    throttle.attempt("ann", "192.0.2.1", 0.0).succeeded()
    waits(throttle, "ann", "198.51.100.7", 100)
    assert throttle.attempt("ann", "192.0.2.1", 0.0).wait_s == 0
    with pytest.raises(Throttled):
        throttle.attempt("ann", "203.0.113.5", 0.0)


def test_failures_are_forgotten() -> None:
    """After a quarter of an hour without another one."""
    throttle = Throttle()
    waits(throttle, "ann", "192.0.2.1", 100)
    assert throttle.attempt("ann", "192.0.2.1", MAX_WAIT_S + 10).wait_s == 0  # the line is empty, but it is still slow
    assert waits(throttle, "ann", "192.0.2.1", 2, MAX_WAIT_S + 10) == [16.0]
    assert waits(throttle, "ann", "192.0.2.1", 5, MAX_WAIT_S + 11 + FORGET_S) == [0.0] * 5


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many names and addresses are tried."""
    monkeypatch.setattr(throttle_module, "MOST", 50)
    throttle = Throttle()
    for n in range(500):
        throttle.attempt(f"u{n}", f"10.0.{n % 256}.{n // 256}", float(n)).succeeded()
        throttle.attempt(f"v{n}", f"10.1.{n % 256}.{n // 256}", float(n))
    assert len(throttle._records) == 50 and len(throttle._known) == 50


def test_what_counts_as_one_address() -> None:
    """IPv4 in any writing, a /64 of IPv6, and whatever is no address as it is."""
    assert network("::ffff:192.0.2.1") == network("192.0.2.1") == "192.0.2.1"
    assert network("2001:db8::1") == network("2001:db8::ffff:1") != network("2001:db8:0:1::1")
    assert network("fe80::1%eth0") == "fe80::"
    assert network("") == "" and len(network("x" * 500)) == 64
