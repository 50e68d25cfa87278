"""A bounded number of open files, each closed only when nobody reads from it. Layer: storage."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock


class _Open:
    __slots__ = ("fd", "readers", "retired")

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.readers = 0
        self.retired = False


class Descriptors:
    """Files by number, opened when first asked for; the least recently used are closed beyond ``limit``.

    A descriptor must not be closed while a thread reads from it: its number could be another file's by then.
    """

    def __init__(self, open_file: Callable[[int], int], limit: int) -> None:
        self._open_file = open_file
        self._limit = limit
        self._lock = Lock()
        self._files: OrderedDict[int, _Open] = OrderedDict()

    @contextmanager
    def borrow(self, number: int) -> Iterator[int]:
        """The descriptor of that file for as long as the block lasts. Raises what opening it raises."""
        with self._lock:
            file = self._files.get(number)
            if file is None:
                file = self._files[number] = _Open(self._open_file(number))
                self._shrink()
            else:
                self._files.move_to_end(number)
            file.readers += 1
        try:
            yield file.fd
        finally:
            with self._lock:
                file.readers -= 1
                if file.retired and not file.readers:
                    os.close(file.fd)

    def retire(self, number: int) -> None:
        """Closes the file as soon as nobody reads from it."""
        with self._lock:
            file = self._files.pop(number, None)
            if file is not None:
                self._retire(file)

    def close(self) -> None:
        """Closes all that nobody reads from; the others when they are given back."""
        with self._lock:
            while self._files:
                self._retire(self._files.popitem()[1])

    def _shrink(self) -> None:
        while len(self._files) > self._limit:
            self._retire(self._files.popitem(last=False)[1])

    @staticmethod
    def _retire(file: _Open) -> None:
        file.retired = True
        if not file.readers:
            os.close(file.fd)
