"""Keywords of SVG drawings: ``dc:subject`` in their RDF metadata (SVG 1.1 section 21, Dublin Core 1.1). Layer: cli.

The drawings come from anywhere. So: Expat, which never fetches anything by itself; entities only as Adobe Illustrator has
them (short, not nested), since nested ones are how a kilobyte becomes gigabytes; and bounds on all that is kept.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Callable
from xml.parsers import expat

from tagfs.cli.extractors import MAX_READ, Metadata

_SUBJECTS = frozenset({"http://purl.org/dc/elements/1.1/ subject", "http://purl.org/dc/terms/ subject"})
_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns# "
MAX_TAGS = 1000
"""Keywords of one file."""
MAX_TEXT = 4096
"""Characters of one keyword before it is cut to a tag."""
MAX_ENTITY = 256
"""Characters of an entity. Illustrator's are addresses of name spaces."""
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


class SvgSubjects:
    """Reads ``.svg`` and ``.svgz``."""

    name = "svg"

    def matches(self, relative: str) -> bool:
        """Files called so."""
        return relative.lower().endswith((".svg", ".svgz"))

    def extract(self, relative: str, read: Callable[[], bytes]) -> Metadata:
        """The keywords, each once, in the order of the file. What comes before broken XML is taken."""
        data = read()
        if data.startswith(b"\x1f\x8b"):
            try:
                data = _unpacked(data)
            except (OSError, EOFError, zlib.error, ValueError) as error:
                return Metadata(problem=f"its compression is broken: {error}")
        if b"subject" not in data and not data.startswith(_UTF16):
            return Metadata()
        subjects = _Subjects()
        try:
            subjects.read(data)
        except (expat.ExpatError, ValueError, LookupError) as error:
            problem = "" if subjects.tags else f"its metadata cannot be read: {error}"
            return Metadata(tuple(subjects.tags), problem)
        return Metadata(tuple(subjects.tags))


def _unpacked(data: bytes) -> bytes:
    with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
        return file.read(MAX_READ)


class _Subjects:
    """Collects the texts of ``dc:subject``: of each ``rdf:li`` in it, or its own text parted at commas and semicolons."""

    def __init__(self) -> None:
        self.tags: dict[str, None] = {}
        self._depth = 0
        self._in_item = False
        self._text: list[str] = []
        self._length = 0
        self._parser = expat.ParserCreate(namespace_separator=" ")
        self._parser.buffer_text = True
        self._parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
        self._parser.EntityDeclHandler = self._entity
        self._parser.StartElementHandler = self._start_outside

    def read(self, data: bytes) -> None:
        """Parses a drawing. Raises ExpatError, or ValueError for what is refused."""
        self._parser.Parse(data, True)

    def _entity(self, name: str, parameter: bool, value: str | None, *_: object) -> None:
        # Outer entities (value None) are never fetched: no handler for them is set.
        if value is not None and ("&" in value or "%" in value or len(value) > MAX_ENTITY):
            raise ValueError(f"it declares the entity {name[:40]}, which is nested or long")

    def _start_outside(self, name: str, attributes: object) -> None:
        if name in _SUBJECTS:
            self._depth = 1
            self._clear()
            self._in_item = False
            self._parser.StartElementHandler = self._start
            self._parser.EndElementHandler = self._end
            self._parser.CharacterDataHandler = self._characters

    def _start(self, name: str, attributes: object) -> None:
        self._depth += 1
        if name == f"{_RDF}li":
            self._in_item = True
            self._clear()

    def _end(self, name: str) -> None:
        self._depth -= 1
        if name == f"{_RDF}li":
            self._keep("".join(self._text))
            self._clear()
        elif self._depth == 0:
            if not self._in_item:
                for part in "".join(self._text).replace(";", ",").split(","):
                    self._keep(part)
            self._parser.StartElementHandler = self._start_outside
            self._parser.EndElementHandler = None
            self._parser.CharacterDataHandler = None

    def _characters(self, text: str) -> None:
        self._length += len(text)
        if self._length <= MAX_TEXT:
            self._text.append(text)

    def _clear(self) -> None:
        self._text = []
        self._length = 0

    def _keep(self, text: str) -> None:
        keyword = " ".join(text.split())
        if keyword and len(self.tags) < MAX_TAGS:
            self.tags[keyword] = None
