"""What importing the query language costs."""

import subprocess
import sys

import pytest

from tagfs.model import query


def test_every_name_is_handed_on():
    """All names of the package are there, and no others are made up."""
    for name in query.__all__:
        assert getattr(query, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        query.nonsense  # noqa: B018


def test_quoting_a_tag_loads_neither_parser_nor_entries():
    """The command line starts with the lexicon alone: no attrs, no msgpack, no BLAKE3."""
    script = (
        "import sys; from tagfs.model.query.lexicon import quote_tag; assert quote_tag('a b') == '\"a b\"';"
        "print(sorted({'attr', 'msgpack', 'blake3', 'tagfs.model.entry', 'tagfs.model.query.parser'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout.strip() == "[]"
