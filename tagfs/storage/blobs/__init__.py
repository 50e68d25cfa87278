"""The embedded blob store: large contents in files, small ones in packs; the disk format is in docs/architecture/blobs.md."""

from tagfs.storage.blobs.opening import open_blobs

__all__ = ["open_blobs"]
