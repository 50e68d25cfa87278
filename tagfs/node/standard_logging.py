"""What the layers below Twisted log by the standard library goes into the node's log. Layer: node."""

from __future__ import annotations

import logging

from twisted.logger import Logger, LogLevel

_LEVELS = {
    logging.DEBUG: LogLevel.debug,
    logging.INFO: LogLevel.info,
    logging.WARNING: LogLevel.warn,
    logging.ERROR: LogLevel.error,
    logging.CRITICAL: LogLevel.critical,
}


class ToTwisted(logging.Handler):
    """Hands records on to twisted.logger, under the name of the logger they came from."""

    def emit(self, record: logging.LogRecord) -> None:
        """From any thread; Twisted's log is safe for that."""
        level = _LEVELS.get(record.levelno, LogLevel.info)
        Logger(namespace=record.name).emit(level, "{message}", message=record.getMessage())


def hear() -> None:
    """From now on, what the loggers below ``tagfs`` say is heard. Harmless when repeated."""
    logger = logging.getLogger("tagfs")
    if not any(isinstance(handler, ToTwisted) for handler in logger.handlers):
        logger.addHandler(ToTwisted())
        logger.setLevel(logging.INFO)
        logger.propagate = False
