"""The extractors that are installed. Layer: cli."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from tagfs.cli.extractors import Extractor, Metadata

GROUP = "tagfs.extractors"
FOLDERS = "folders"


class Chosen:
    """Several extractors as one."""

    def __init__(self, extractors: Iterable[Extractor]) -> None:
        self._extractors = tuple(extractors)

    def extract(self, relative: str, read: Callable[[], bytes]) -> Metadata:
        """All tags that any of them finds, and the first problem. A bug of a plug-in is a problem of the file."""
        tags: list[str] = []
        problem = ""
        for extractor in self._extractors:
            if not extractor.matches(relative):
                continue
            try:
                found = extractor.extract(relative, read)
            except Exception as error:  # noqa: BLE001 (code of others; reported with the file)
                found = Metadata(problem=f"the extractor {extractor.name} failed: {type(error).__name__}: {error}")
            tags += found.tags
            problem = problem or found.problem
        return Metadata(tuple(tags), problem)


def chosen(sources: Sequence[str], complain: Callable[[str], None]) -> Chosen:
    """The extractors for the values of ``--tags-from``: folders, metadata, none."""
    return Chosen(
        extractor
        for extractor in installed(complain)
        if (FOLDERS if extractor.name == FOLDERS else "metadata") in sources
    )


def installed(complain: Callable[[str], None]) -> Iterator[Extractor]:
    """Every extractor; our own ones come first, and are there also where tagfs runs from its source."""
    from tagfs.cli.extractors.folders import FolderTags
    from tagfs.cli.extractors.svg import SvgSubjects

    own = (FolderTags(), SvgSubjects())
    yield from own
    names = {extractor.name for extractor in own}
    from importlib.metadata import entry_points

    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        if point.name in names or point.value.startswith("tagfs.cli.extractors."):
            continue
        try:
            extractor = point.load()()
        except Exception as error:  # noqa: BLE001 (a plug-in that cannot be loaded must not stop the import)
            complain(f"the extractor {point.name} cannot be loaded: {error}")
            continue
        if isinstance(extractor, Extractor):
            names.add(point.name)
            yield extractor
        else:
            complain(f"the extractor {point.name} has not what an extractor needs: name, matches, extract")
