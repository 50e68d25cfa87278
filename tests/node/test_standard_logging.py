"""Warnings of the stores reach the operator's log."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from twisted.logger import LogEvent, LogLevel, globalLogPublisher

from tagfs.node import standard_logging


@pytest.fixture
def heard() -> Iterator[list[LogEvent]]:
    events: list[LogEvent] = []
    globalLogPublisher.addObserver(events.append)
    yield events
    globalLogPublisher.removeObserver(events.append)
    logger = logging.getLogger("tagfs")
    logger.handlers.clear()
    logger.propagate = True
    logger.setLevel(logging.NOTSET)


def test_what_a_store_says_is_in_the_log_once(heard: list[LogEvent]) -> None:
    """Under its own name and level, with braces left alone."""
    standard_logging.hear()
    standard_logging.hear()
    logging.getLogger("tagfs.storage.blobs").warning("%d items are damaged {sic}", 3)
    (event,) = heard
    assert (event["log_namespace"], event["log_level"]) == ("tagfs.storage.blobs", LogLevel.warn)
    assert event["message"] == "3 items are damaged {sic}"
