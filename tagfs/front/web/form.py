"""A browser's form (multipart/form-data, RFC 7578) with one file in it, taken apart as it comes. Sans-io; layer: front."""

from __future__ import annotations

from collections.abc import Iterator

from multipart import MultipartError, ParserLimitReached, PushMultipartParser, parse_options_header

from tagfs.errors import BadRequest, TooLarge

FORM = "multipart/form-data"
FIELDS = ("name", "tag")
MAX_PARTS = 1100
"""Fields of a form: all the tags that one request may give, and some."""
MAX_FIELD = 4096
"""Bytes of a field that is no file."""


def is_form(media_type: str) -> bool:
    """Whether a body of this type is a form."""
    return media_type == FORM


class Form:
    """A form on its way in: :meth:`feed` gives out the file's bytes, the fields are kept."""

    def __init__(self, content_type: str) -> None:
        try:
            _, options = parse_options_header(content_type)
            self._parser = PushMultipartParser(
                options.get("boundary", ""), max_segment_count=MAX_PARTS, header_charset="utf8", strict=True
            )
        except MultipartError as error:
            raise BadRequest(f"the form's Content-Type: {error}") from None
        self.file_name = ""
        self.file_type = ""
        self._has_file = False
        self._fields: dict[str, list[str]] = {}
        self._field: str | None = None  # the field that is coming; None within the file
        self._value = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Takes what came; the pieces of the file in it. To be exhausted. Raises BadRequest, TooLarge."""
        try:
            for event in self._parser.parse(data):
                if event is None:
                    self._end_part()
                elif isinstance(event, bytes | bytearray):
                    if self._field is None:
                        yield bytes(event)
                    else:
                        self._extend(event)
                else:
                    self._begin_part(event.name, event.filename, event.content_type or "")
        except ParserLimitReached as error:
            raise TooLarge(f"the form: {error}") from None
        except MultipartError as error:
            raise BadRequest(f"the form cannot be read: {error}") from None

    def end(self) -> None:
        """That was all. Raises BadRequest where the form is not whole, or has no file."""
        if not self._parser.closed:
            try:
                self._parser.close()
            except MultipartError as error:
                raise BadRequest(f"the form cannot be read: {error}") from None
        if not self._has_file:
            raise BadRequest("the form has no file")

    def texts(self, name: str) -> list[str]:
        """All values of a field; an empty one counts as not filled in."""
        return [value for value in self._fields.get(name, []) if value]

    def text(self, name: str) -> str:
        """The value of a field, or an empty text."""
        return next(iter(self.texts(name)), "")

    def _begin_part(self, name: str, file_name: str | None, kind: str) -> None:
        if file_name is None:
            if name not in FIELDS:
                raise BadRequest(f"{name[:40]!r} is no field here; known are: {', '.join(FIELDS)}, and one file")
            self._field = name
            self._value.clear()
            return
        if self._has_file:
            raise BadRequest("the form has more than one file; each makes an entry of its own: send them one by one")
        self._has_file = True
        self._field = None
        # Some browsers once sent whole paths; a name has no separators.
        self.file_name = file_name.replace("\\", "/").rpartition("/")[2]
        self.file_type = kind

    def _extend(self, data: bytes | bytearray) -> None:
        if len(self._value) + len(data) > MAX_FIELD:
            raise TooLarge(f"the field {self._field} has more than {MAX_FIELD} bytes")
        self._value += data

    def _end_part(self) -> None:
        if self._field is None:
            return
        try:
            value = self._value.decode()
        except UnicodeDecodeError:
            raise BadRequest(f"the field {self._field} is not UTF-8") from None
        self._fields.setdefault(self._field, []).append(value)
