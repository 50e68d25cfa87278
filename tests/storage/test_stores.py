"""Stores are found by the scheme of their URL."""

from importlib import metadata

import pytest

from tagfs.errors import StartError
from tagfs.storage import stores
from tagfs.storage.blobs.store import FileBlobStore
from tagfs.storage.memory_blobs import MemoryBlobStore


def test_embedded_schemes(tmp_path, monkeypatch):
    """file: takes an absolute or a relative directory, escaped as URLs are; memory: makes an empty store."""
    monkeypatch.chdir(tmp_path)
    for url, path in [
        (f"file://{tmp_path}/one", "one"),
        ("file:two/three", "two/three"),
        ("FILE:with%20space", "with space"),
        (f"file:{tmp_path}/four", "four"),
    ]:
        store = stores.open_blobs(url)
        assert isinstance(store, FileBlobStore)
        assert (tmp_path / path / "format").exists()
        store.close()
    assert isinstance(stores.open_blobs("memory:"), MemoryBlobStore)
    assert stores.open_blobs("memory:1000").usage().free == 1000


@pytest.mark.parametrize(
    "url",
    [
        "",
        "nowhere",
        "/just/a/path",
        "ftp:x",
        "file:",
        "file://host/x",
        "file:x?mode=1",
        "file:x?create=maybe",
        "memory:x",
    ],
)
def test_bad_urls(url, tmp_path, monkeypatch):
    """Anything else is a StartError that names the URL, and makes nothing."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StartError):
        stores.open_blobs(url)
    assert not list(tmp_path.iterdir())


def test_unknown_scheme_lists_the_known_ones():
    """The error of an unknown scheme says what there is, for blobs and for catalogs."""
    with pytest.raises(StartError, match=r"s3: .*there are file:, memory:"):
        stores.open_blobs("s3://bucket")
    with pytest.raises(StartError, match=r"redis: .*there are memory:.* sqlite:"):
        stores.open_catalog("redis:", "n1")


def test_memory_catalog():
    """A catalog is opened for the node that numbers its changes."""
    assert stores.open_catalog("memory:", "n1").node == "n1"


def test_installed_schemes(monkeypatch):
    """An installed package brings a scheme of its own; it cannot take over an embedded one, and one that cannot be loaded
    is told."""
    points = [
        metadata.EntryPoint("other", "tagfs.storage.memory_blobs:MemoryBlobStore", stores.BLOBS),
        metadata.EntryPoint("memory", "builtins:repr", stores.BLOBS),
        metadata.EntryPoint("broken", "no.such.module:open", stores.BLOBS),
    ]

    def entry_points(**selection):
        return metadata.EntryPoints(points).select(**selection)

    monkeypatch.setattr(stores, "entry_points", entry_points)
    monkeypatch.setattr(MemoryBlobStore, "__init__", lambda self, url: setattr(self, "url", url))
    assert stores.open_blobs("other://there").url == "other://there"
    monkeypatch.undo()
    monkeypatch.setattr(stores, "entry_points", entry_points)
    assert isinstance(stores.open_blobs("memory:"), MemoryBlobStore)
    with pytest.raises(StartError, match="cannot be loaded"):
        stores.open_blobs("broken:")
