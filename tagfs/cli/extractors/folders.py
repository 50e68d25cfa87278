"""Folder names as tags: ``beach/2024/x.jpg`` has the tags ``beach`` and ``2024``. Layer: cli."""

from __future__ import annotations

from collections.abc import Callable

from tagfs.cli.extractors import Metadata


class FolderTags:
    """Each folder below the imported one is a tag."""

    name = "folders"

    def matches(self, relative: str) -> bool:
        """Every file that is in a folder."""
        return "/" in relative

    def extract(self, relative: str, read: Callable[[], bytes]) -> Metadata:
        """The folders of the path, outermost first; the content is not read."""
        return Metadata(tuple(relative.split("/")[:-1]))
