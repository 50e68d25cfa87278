"""The blob stores keep the contract."""

import os

from tagfs.storage.blobs.opening import open_directory
from tagfs.storage.memory_blobs import MemoryBlobStore
from tests.contracts.blob_store import BlobStoreContract


def flip_in_place(path, content: bytes) -> bool:
    """Changes one byte in the middle of ``content`` where it lies in a file; False where it does not."""
    data = path.read_bytes()
    at = data.find(content)
    if at < 0:
        return False
    with path.open("r+b") as file:
        file.seek(at + len(content) // 2)
        file.write(bytes([content[len(content) // 2] ^ 0xFF]))
    return True


class TestFileBlobStore(BlobStoreContract):
    """Small contents in packs, large ones in files."""

    def make(self, directory):
        self.directory = directory
        return open_directory(os.fspath(directory))

    def damage(self, store, digest):
        reader = store.open(digest)
        content = reader.read(0, reader.size)
        reader.close()
        paths = [path for path in self.directory.glob("*/**/*") if path.is_file()]
        assert sum(flip_in_place(path, content) for path in paths) == 1


class TestManySegments(TestFileBlobStore):
    """The same with segments so small that every group begins another."""

    def make(self, directory):
        self.directory = directory
        return open_directory(os.fspath(directory), max_segment=4000)


class TestMemoryBlobStore(BlobStoreContract):
    """The reference."""

    def make(self, directory):
        return MemoryBlobStore()

    def damage(self, store, digest):
        content = bytearray(store.contents[digest])
        content[len(content) // 2] ^= 0xFF
        store.contents[digest] = bytes(content)
