"""Tags, file names, homes."""

from unicodedata import normalize

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagfs.errors import BadRequest
from tagfs.model.names import check_home, check_name, check_tag, fold, name_key, short_id, split_tag, tag_fault

marks = st.text("aAéÅΐΆᾳẞßſİıÇ\u0300\u0301\u0307\u0308\u0323\u0338\u0345\u0313ꭰᏸ", max_size=6)


@given(st.one_of(st.text(), marks))
def test_fold_is_a_fixed_point(text):
    """Folding once is enough, and gives NFC."""
    folded = fold(text)
    assert fold(folded) == folded
    assert normalize("NFC", folded) == folded


def test_fold_is_a_fixed_point_of_every_character():
    """No single character of Unicode escapes the law, nor becomes a sign that the rules of tags forbid."""
    signs = set('/"|@-')
    for code in range(0x110000):
        char = chr(code)
        folded = fold(char)
        assert fold(folded) == folded
        assert char in signs or not signs & set(folded)


@given(marks, st.sampled_from(["NFC", "NFD"]))
def test_composition_does_not_count(text, form):
    """Canonically equal texts fold to one (Unicode D145)."""
    assert fold(normalize(form, text)) == fold(text)


@pytest.mark.parametrize(
    ("one", "other"), [("Beach", "BEACH"), ("Straße", "STRASSE"), ("É", "e\u0301"), ("ΣΟΦΟΣ", "σοφος"), ("Å", "\u212b")]
)
def test_what_folds_together(one, other):
    """What people hold for the same tag is the same tag."""
    assert fold(one) == fold(other)


@pytest.mark.parametrize(
    "tag",
    [
        "a",
        "Beach",
        "year=2024",
        "=",
        "x=",
        "two words",
        "a-b",
        "a@b",
        "...",
        "日本",
        "👩‍👩‍👧",
        "a" * 255,
        'q"q',
        "a|b",
        "and",
    ],
)
def test_tags_that_are_allowed(tag):
    """Nearly everything is a tag, spelled as given."""
    assert check_tag(tag) == tag


def test_a_tag_is_given_back_in_nfc():
    """Spelling is kept, composition is not."""
    assert check_tag("CAFE\u0301") == "CAFÉ"


@pytest.mark.parametrize(
    ("text", "index"),
    [
        ("", 0),
        ("-a", 0),
        ("@a", 0),
        ("a/b", 1),
        ("/", 0),
        ("ab\0", 2),
        ("a\nb", 1),
        ("a\x7f", 1),
        ("a\x85", 1),
        ("a\x9fb", 1),
        ("a\u2028b", 1),
        ("ab\u2029", 2),
        ("a\ud800", 1),
        (" a", 0),
        ("\u3000a", 0),
        ("a ", 1),
        ("a\xa0", 1),
        (" ", 0),
        (".", 0),
        ("..", 0),
        ("a" * 256, 0),
        ("é" * 128, 0),
        ("ŉ" * 100, 0),
        ("\u0390" + "ΐ" * 127, 0),
    ],
)
def test_tags_that_are_not(text, index):
    """What is no tag is refused, with the place of what is wrong."""
    fault = tag_fault(text)
    assert fault is not None
    assert fault[0] == index
    with pytest.raises(BadRequest, match=f"character {index + 1}: "):
        check_tag(text)


@given(st.one_of(st.text(), marks))
def test_what_is_stored_of_a_tag_is_a_tag(text):
    """The folded form of a tag, that is its record's key, is a tag itself, and fits in 255 bytes."""
    if tag_fault(text) is None:
        assert tag_fault(fold(text)) is None
        assert len(fold(text).encode()) <= 255


@pytest.mark.parametrize("name", ["a", "-a", "@a", " a ", "...", ".hidden", "a" * 255, "日本.txt", "a|b", "cafe\u0301"])
def test_file_names_that_are_allowed(name):
    """File names are given back exactly."""
    assert check_name(name) == name


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "/", "a\0", "a\n", "a\x1b[0m", "a\x85", "\udcff", "a" * 256, "é" * 128]
)
def test_file_names_that_are_not(name):
    """What cannot be a file everywhere is no file name."""
    with pytest.raises(BadRequest, match="character"):
        check_name(name)


def test_file_names_compare_in_nfc():
    """Composition does not count in names, case does."""
    assert name_key("cafe\u0301") == name_key("café")
    assert name_key("A") != name_key("a")


@pytest.mark.parametrize(
    ("home", "kept"), [("", ""), ("a", "a"), ("a/b/c", "a/b/c"), ("-x/@y", "-x/@y"), ("cafe\u0301/b", "café/b")]
)
def test_homes(home, kept):
    """A home is a path of file names, or the top."""
    assert check_home(home) == kept


@pytest.mark.parametrize(
    ("home", "index"),
    [
        ("/", 0),
        ("/a", 0),
        ("a/", 2),
        ("a//b", 2),
        ("a/../b", 2),
        ("./a", 0),
        ("a/b\0", 3),
        ("a/" + "x" * 256, 2),
        ("ab/" * 1400 + "x", 0),
    ],
)
def test_what_is_no_home(home, index):
    """Absolute paths, empty and dot components, and what is too long are refused, with the place."""
    with pytest.raises(BadRequest, match=f"character {index + 1}: "):
        check_home(home)


@pytest.mark.parametrize(
    ("tag", "pair"),
    [("a", None), ("a=b", ("a", "b")), ("a=b=c", ("a", "b=c")), ("a=", ("a", "")), ("=a", None), ("=", None)],
)
def test_keys_and_values(tag, pair):
    """A tag is parted at its first equals sign; a key is never empty."""
    assert split_tag(tag) == pair


def test_short_ids_are_the_random_end():
    """The first characters of ids made together are the same; the last ones differ."""
    assert short_id("01hzx3abcdefghjkmnpqrstvw0") == "rstvw0"
    assert short_id("01hzx3abcdefghjkmnpqrstvw0", 3) == "vw0"
