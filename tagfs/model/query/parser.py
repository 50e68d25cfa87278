"""From the text of a tag-query to its tree: ``or`` < ``and`` < ``not``, and parentheses. Layer: model.

One pass with an explicit stack, so that no input is too deep for it. What stands between the operators is
read by :mod:`tagfs.model.query.terms`. The language: docs/protocols/query.md.
"""

from __future__ import annotations

import re

from tagfs.errors import QueryError
from tagfs.model.query import terms
from tagfs.model.query.syntax import EVERYTHING, And, Not, Or, Query

MAX_LENGTH = 65_536
"""Most characters of a query; the longest line of the tag protocol."""
MAX_DEPTH = 64
"""Most parentheses and ``not`` inside each other."""
MAX_TERMS = 4_096
"""Most tags, comparisons and fields in one query."""

_TERM = 'a tag, a comparison, a field, "not" or "("'
_SPACE = re.compile(r"\s*")
_CONNECTIVE = re.compile(r"(and|or)(?=[\s()|=<>]|!=|\Z)", re.IGNORECASE)


def parse(text: str) -> Query:
    """The tree of a tag-query; blank text gives :data:`~tagfs.model.query.syntax.EVERYTHING`.

    The tree is canonical: everything folded, no And directly in an And, no Or directly in an Or. Raises
    :class:`~tagfs.errors.QueryError` with the column, counted in characters from 1, and what was expected there.
    """
    if len(text) > MAX_LENGTH:
        raise QueryError(f"the query is longer than {MAX_LENGTH} characters", MAX_LENGTH + 1)
    if not text or text.isspace():
        return EVERYTHING
    return _Parser(text).query()


class _Group:
    """What was read so far between two parentheses (or outside all)."""

    __slots__ = ("alternatives", "items", "negations", "start")

    def __init__(self, start: int) -> None:
        self.start = start
        self.alternatives: list[Query] = []
        self.items: list[Query] = []
        self.negations = 0

    def add(self, item: Query) -> None:
        for _ in range(self.negations):
            item = Not(item)
        self.negations = 0
        if type(item) is And:
            self.items.extend(item.items)
        else:
            self.items.append(item)

    def alternative(self) -> None:
        """Ends one side of an ``or``."""
        item = self.items[0] if len(self.items) == 1 else And(tuple(self.items))
        self.items = []
        if type(item) is Or:
            self.alternatives.extend(item.items)
        else:
            self.alternatives.append(item)

    def result(self) -> Query:
        self.alternative()
        return self.alternatives[0] if len(self.alternatives) == 1 else Or(tuple(self.alternatives))


class _Parser:
    """Reads terms and connectives in turn; ``groups`` are the parentheses open at the moment, outermost first."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.depth = 0
        self.terms = 0
        self.groups = [_Group(-1)]

    def query(self) -> Query:
        self.term()
        while self.connective():
            self.term()
        return self.groups[0].result()

    def next(self) -> str:
        """The next character that is no white space; empty at the end."""
        text, at = self.text, self.at
        if at < len(text) and text[at].isspace():
            self.at = at = _SPACE.match(text, at).end()  # type: ignore[union-attr]
        return text[at : at + 1]

    def term(self) -> None:
        """One term with all ``not`` and ``(`` before it."""
        while True:
            sign = self.next()
            if sign == "(":
                if self.empty_group():
                    return
            elif sign == "-":
                self.negate(1)
            elif sign in terms.NO_TERM:
                raise self.no_term(sign)
            else:
                item, end = terms.read_term(self.text, self.at)
                if item is not None:
                    self.complete(item)
                    self.at = end
                    return
                self.negate(end - self.at)

    def connective(self) -> bool:
        """Everything between two terms: closing parentheses, then ``and``, ``or`` or nothing. False at the end."""
        while True:
            sign = self.next()
            if not sign:
                if len(self.groups) > 1:
                    opened = self.groups[-1].start + 1
                    raise QueryError(f'the "(" of column {opened} is not closed', self.at + 1, '")"')
                return False
            if sign != ")":
                break
            self.close_group()
        found = _CONNECTIVE.match(self.text, self.at) if sign in "aAoO" else None
        if found:
            self.at = found.end()
            if sign in "oO":
                self.groups[-1].alternative()
        elif sign == "(" and terms.touches_word(self.text, self.at):
            raise QueryError('"(" touches the word before it', self.at + 1, "a space, or the whole word in quotes")
        return True

    def complete(self, item: Query) -> None:
        """Adds a term, whose text is still to be passed over."""
        self.terms += 1
        if self.terms > MAX_TERMS:
            raise QueryError(f"the query has more than {MAX_TERMS} terms", self.at + 1)
        self.depth -= self.groups[-1].negations
        self.groups[-1].add(item)

    def negate(self, width: int) -> None:
        self.deepen()
        self.groups[-1].negations += 1
        self.at += width

    def empty_group(self) -> bool:
        """Opens a parenthesis; ``()`` is a term of its own: every entry."""
        self.deepen()
        start = self.at
        self.at += 1
        if self.next() == ")":
            self.depth -= 1
            self.complete(EVERYTHING)
            self.at += 1
            return True
        self.groups.append(_Group(start))
        return False

    def close_group(self) -> None:
        if len(self.groups) == 1:
            raise QueryError('")" without a "(" before it', self.at + 1, "a tag or the end of the query")
        inner = self.groups.pop().result()
        self.at += 1
        self.depth -= 1 + self.groups[-1].negations
        self.groups[-1].add(inner)

    def deepen(self) -> None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise QueryError(f'more than {MAX_DEPTH} "(" and "not" inside each other', self.at + 1)

    def no_term(self, sign: str) -> QueryError:
        """The complaint about a character that begins no term."""
        if not sign:
            return QueryError("the query ends too early", self.at + 1, _TERM)
        if sign == "|":
            return QueryError('"|" is no part of a query', self.at + 1, 'double quotes around a word with "|"')
        if sign == ")":
            return QueryError('")" comes too early', self.at + 1, _TERM)
        return QueryError(f'"{sign}" has no key before it', self.at + 1, "a key, as in year >= 2024")
