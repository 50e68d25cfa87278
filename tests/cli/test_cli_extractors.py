"""Tags from folders and drawings, whatever is in them; and the rule that makes tags of anything."""

import gzip

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tagfs.cli.extractors import Metadata
from tagfs.cli.extractors.folders import FolderTags
from tagfs.cli.extractors.registry import Chosen, installed
from tagfs.cli.extractors.svg import MAX_TAGS, SvgSubjects
from tagfs.cli.intake.repair import repaired_tag, repaired_tags, within_a_line
from tagfs.client.text import words
from tagfs.model.names import tag_fault

HEAD = (
    '<svg xmlns="http://www.w3.org/2000/svg"><metadata><r:RDF xmlns:r="http://www.w3.org/1999/02/22-rdf-syntax-ns#" '
    'xmlns:d="http://purl.org/dc/elements/1.1/"><Work>'
)
TAIL = "</Work></r:RDF></metadata><path d='M0 0'/></svg>"


def svg(subject: str, before: str = "") -> bytes:
    return (before + HEAD + subject + TAIL).encode()


def bag(*keywords: str) -> str:
    return "<d:subject><r:Bag>" + "".join(f"<r:li>{keyword}</r:li>" for keyword in keywords) + "</r:Bag></d:subject>"


def extracted(data: bytes, name: str = "a.svg") -> Metadata:
    return SvgSubjects().extract(name, lambda: data)


@pytest.mark.parametrize(
    ("data", "tags"),
    [
        (svg(bag("a", "b c", "a")), ("a", "b c")),
        (svg(bag("  a\n  b ", "", " ")), ("a b",)),
        (svg(bag("a, b")), ("a, b",)),
        (svg("<d:subject>one, two; three four</d:subject>"), ("one", "two", "three four")),
        (svg("<d:subject/>"), ()),
        (svg(bag("a") + bag("b")), ("a", "b")),
        (svg(bag("caf&#233; &amp; bar", "<![CDATA[<x>]]>")), ("café & bar", "<x>")),
        (svg(bag("a")).replace(b"elements/1.1", b"terms"), ("a",)),
        (svg(bag("a")).replace(b"elements/1.1", b"other"), ()),
        (svg("<subject>not of Dublin Core</subject>"), ()),
        (svg(bag("é")).decode().encode("utf-16"), ("é",)),
        (b'<?xml version="1.0" encoding="iso-8859-1"?>' + svg(bag("é")).decode().encode("latin-1"), ("é",)),
        (gzip.compress(svg(bag("a"))), ("a",)),
        (b"", ()),
        (b"no xml at all", ()),
        (b"\x89PNG\r\n\x1a\n", ()),
    ],
)
def test_keywords_are_found(data, tags):
    """dc:subject in all its forms and encodings."""
    assert extracted(data) == Metadata(tags)


def test_what_comes_before_broken_xml_is_taken():
    """Keywords stand at the top; a drawing cut off behind them still has them."""
    assert extracted(svg(bag("a"))[:-20]) == Metadata(("a",))
    broken = extracted((HEAD + "<d:subject><r:Bag><r:li>a").encode())
    assert broken.tags == ()
    assert "cannot be read" in broken.problem


def test_illustrators_entities_are_read():
    """Short entities that stand for name spaces are how Adobe Illustrator writes SVG."""
    data = svg(bag("a")).replace(b'"http://purl.org/dc/elements/1.1/"', b'"&dc;"')
    assert extracted(b'<!DOCTYPE svg [<!ENTITY dc "http://purl.org/dc/elements/1.1/">]>' + data) == Metadata(("a",))


def test_bombs_are_refused_fast():
    """Nested and long entities, and gigabytes of zeros in svgz, cost nothing."""
    nested = '<!DOCTYPE s [<!ENTITY a "aaaaaaaaaa">' + "".join(
        f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(12)
    )
    bomb = extracted(svg(bag("&m;"), nested + "]>"))
    assert bomb.tags == ()
    assert "nested or long" in bomb.problem
    long = extracted(svg(bag("&a;" * 1000), f'<!DOCTYPE s [<!ENTITY a "{"x" * 10_000}">]>'))
    assert "nested or long" in long.problem
    assert extracted(gzip.compress(bytes(200 << 20), 1)).tags == ()
    assert "broken" in extracted(gzip.compress(svg(bag("a")))[:-12] + b"garbage").problem


def test_outer_entities_are_never_fetched(tmp_path):
    """A file named by an entity is not read."""
    secret = tmp_path / "secret"
    secret.write_text("hidden")
    found = extracted(svg(bag("&x;"), f'<!DOCTYPE s [<!ENTITY x SYSTEM "file://{secret}">]>'))
    assert "hidden" not in "".join(found.tags)


def test_bounds():
    """Neither the number nor the length of keywords is without bound; depth costs no stack."""
    many = extracted(svg(bag(*(f"k{n}" for n in range(MAX_TAGS + 500)))))
    assert len(many.tags) == MAX_TAGS
    (long,) = extracted(svg(bag("x" * 1_000_000))).tags or ("",)
    assert len(long) <= 4096
    deep = extracted(svg("<a>" * 50_000 + bag("k") + "</a>" * 50_000))
    assert deep.tags in ((), ("k",))


@given(st.binary(max_size=300))
@example(svg(bag("a")))
def test_any_bytes(data):
    """Whatever a file called .svg holds, there is an answer and no exception."""
    assert isinstance(extracted(data), Metadata)
    assert isinstance(extracted(b"\x1f\x8b" + data), Metadata)
    assert isinstance(extracted(svg(bag("a")) + data), Metadata)


def test_folders_are_tags():
    """Each folder of the path, outermost first."""
    folders = FolderTags()
    assert not folders.matches("x.jpg")
    assert folders.extract("beach/year=2024/x.jpg", lambda: pytest.fail("not read")).tags == ("beach", "year=2024")


def test_our_extractors_are_installed():
    """They are there also where tagfs runs from its source."""
    complaints = []
    names = [extractor.name for extractor in installed(complaints.append)]
    assert names[:2] == ["folders", "svg"]
    assert len(names) == len(set(names))


def test_a_failing_plug_in_is_a_problem_of_the_file():
    """A bug in a plug-in does not end an import; other extractors still count."""

    class Broken:
        name = "broken"

        def matches(self, relative):
            return True

        def extract(self, relative, read):
            raise RuntimeError("bug")

    found = Chosen([Broken(), FolderTags()]).extract("a/b", bytes)
    assert found.tags == ("a",)
    assert "broken failed: RuntimeError: bug" in found.problem


def test_plug_ins_are_found_by_their_entry_point(monkeypatch):
    """An extractor of another package is used; one that cannot be loaded is complained of and passed over."""
    import importlib.metadata

    class Point:
        def __init__(self, name, load):
            self.name, self.value, self.load = name, f"other:{name}", load

    class Names:
        name = "names"

        def matches(self, relative):
            return True

        def extract(self, relative, read):
            return Metadata((read().decode(),))

    def missing():
        raise ImportError("no such module")

    points = [Point("bad", missing), Point("names", lambda: Names), Point("odd", lambda: object)]
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: points)
    complaints = []
    chosen = Chosen(installed(complaints.append))
    assert chosen.extract("x", lambda: b"tag").tags == ("tag",)
    assert len(complaints) == 2


@pytest.mark.parametrize(
    ("text", "tag"),
    [
        ("beach", "beach"), (" a  b\n", "a b"), ("a/b", "a-b"), ("-x", "x"), ("@home", "home"), ("--@ x", "x"), ("/a", "a"),
        ("", None), (" ", None), ("..", None), (".", None), ("--", None), ("x\0y", "x y"), ("e\u0301", "é"), ("year=2024", "year=2024"),
        ("x" * 300, "x" * 255), ("a\udcffb", "a\ufffdb"), ("and", "and"), ("a ..", "a .."),
    ],
)  # fmt: skip
def test_tags_are_repaired_by_the_rule(text, tag):
    """The rule of the guide."""
    assert repaired_tag(text) == tag


@given(st.text(max_size=400))
@example("ß" * 200)
@example("İ" * 130)
@example("-" * 300 + "x")
def test_a_repaired_tag_is_a_tag(text):
    """Whatever comes in, what comes out is a tag or nothing; a tag comes out as itself."""
    tag = repaired_tag(text)
    assert tag is None or tag_fault(tag) is None
    if tag is not None:
        assert repaired_tag(tag) == tag


def test_tags_differing_in_case_are_one():
    """The first spelling stays."""
    assert repaired_tags(["Beach", "beach", "..", "BEACH"]) == (["Beach"], [".."])


def test_tags_fit_into_a_line():
    """However many tags a file has, its command line stays within the protocol's bound."""
    tags = [f'"{n:0253}' for n in range(1000)]
    assert len(words(within_a_line(tags)).encode()) < 60_000
