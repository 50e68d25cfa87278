"""The vocabulary of tags, and saved searches."""

import pytest

from tagfs.errors import BadRequest
from tagfs.model import searches
from tagfs.model.entry import Content, Entry
from tagfs.model.record import Ref, merge
from tagfs.model.stamp import Stamp
from tagfs.model.vocabulary import KIND, Vocabulary, declaration, definition, forgotten


def at(time):
    return Stamp(time, "a")


ENTRY = Entry("0" * 26, "n", Content(b"", 0, "", 0), 0, ("beach", "year=2024", "äpfel"), None, None, ())


def test_a_tag_is_shown_as_first_spelled():
    """Every entry shows the spelling of the definition, in the order its tags are in."""
    vocabulary = Vocabulary()
    assert vocabulary.show_entry(ENTRY) is ENTRY
    for tag in ("Beach", "ÄPFEL", "year=2024"):
        vocabulary.learn(definition(tag, at(1)))
    assert vocabulary.show("beach") == "Beach"
    assert vocabulary.show("unheard") == "unheard"
    assert vocabulary.show_entry(ENTRY).tags == ("Beach", "year=2024", "ÄPFEL")
    assert ENTRY.tags == ("beach", "year=2024", "äpfel")


def test_what_is_known():
    """A tag is known from its definition on, by its folded form."""
    vocabulary = Vocabulary()
    assert not vocabulary.is_known("beach")
    vocabulary.learn(definition("Beach", at(1)))
    assert vocabulary.is_known("beach")
    assert not vocabulary.is_known("Beach")
    assert definition("Beach", at(1)).ref == Ref(KIND, "beach")


def test_respelling():
    """A later definition changes what is shown, also back to the folded form."""
    vocabulary = Vocabulary()
    vocabulary.learn(definition("Beach", at(1)))
    vocabulary.learn(merge(definition("Beach", at(1)), definition("beach", at(2))))
    assert vocabulary.show("beach") == "beach"
    assert vocabulary.is_known("beach")


def test_declared_tags_are_listed_by_name():
    """Declared tags are in order of their folded forms, as spelled; what is no longer declared is not among them."""
    vocabulary = Vocabulary()
    for tag in ("b", "Zoo", "A"):
        vocabulary.learn(declaration(tag, True, at(1)))
    vocabulary.learn(definition("c", at(1)))
    assert vocabulary.declared() == ["A", "b", "Zoo"]
    assert vocabulary.is_declared("zoo")
    assert vocabulary.is_known("zoo")
    vocabulary.learn(merge(declaration("b", True, at(1)), declaration("b", False, at(2))))
    assert vocabulary.declared() == ["A", "Zoo"]
    assert not vocabulary.is_declared("b")


def test_a_forgotten_tag_is_new_again():
    """After its definition was taken away, the next use decides the spelling."""
    vocabulary = Vocabulary()
    state = declaration("Beach", True, at(1))
    vocabulary.learn(state)
    state = merge(state, forgotten("beach", at(2)))
    vocabulary.learn(state)
    assert not vocabulary.is_known("beach")
    assert vocabulary.declared() == []
    assert vocabulary.show("beach") == "beach"
    vocabulary.learn(merge(state, definition("BEACH", at(3))))
    assert vocabulary.show("beach") == "BEACH"


def test_saved_searches():
    """The last query saved under a name is what it says, until it is forgotten."""
    first = searches.saved("best", "a", at(1))
    second = merge(first, searches.saved("best", "a or b", at(2)))
    assert first.ref == Ref(searches.KIND, "best")
    assert searches.query_of(second) == "a or b"
    assert searches.query_of(merge(second, searches.forgotten("best", at(3)))) is None


def test_names_of_searches():
    """A search is a directory, so its name is a file name, in NFC."""
    assert searches.check_search("cafe\u0301") == "café"
    with pytest.raises(BadRequest):
        searches.check_search("a/b")
