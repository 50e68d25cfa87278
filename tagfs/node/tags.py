"""Tags as such, apart from the entries that carry them: renamed, deleted, declared as directories. Layer: node."""

from __future__ import annotations

from tagfs.errors import Conflict, NotFound
from tagfs.model.names import check_tag, fold
from tagfs.model.order import Scope
from tagfs.model.query import Tag
from tagfs.model.record import Ref
from tagfs.model.vocabulary import declaration, forgotten
from tagfs.node import changes, reads
from tagfs.node.core import Core


async def rename(core: Core, old: str, new: str) -> int | None:
    """Renames a tag on every entry, merging into one that is there; returns how many were changed, None where only the
    spelling was. Raises NotFound, BadRequest."""
    new = check_tag(new)
    folded_old, folded_new = fold(check_tag(old)), fold(new)
    declared = await known(core, folded_old)
    stamp = core.stamp()
    if folded_old == folded_new:
        respelt = [declaration(new, declared, stamp)]
        await core.write(None, (), lambda _blob, _present: respelt)
        return None
    definitions = core.definitions((new,), stamp)
    extra = [*definitions, forgotten(old, stamp)]
    if declared and not core.vocabulary.is_declared(folded_new):
        extra.append(declaration(new, True, core.stamp()))
    edit = changes.renaming(folded_old, folded_new)
    try:
        return await changes.change_matching(core, Tag(folded_old), Scope.ALL, edit, extra)
    finally:
        core.undefine(definitions)


async def delete(core: Core, tag: str) -> int:
    """Takes a tag from every entry and forgets it; returns how many carried it. Raises NotFound."""
    folded = fold(check_tag(tag))
    await known(core, folded)
    extra = [forgotten(tag, core.stamp())]
    return await changes.change_matching(core, Tag(folded), Scope.ALL, changes.renaming(folded, None), extra)


async def declare(core: Core, tag: str) -> bool:
    """Makes a tag a directory; False where it is one."""
    tag = check_tag(tag)
    folded = fold(tag)
    if core.vocabulary.is_declared(folded) or await reads.count(core, Tag(folded), Scope.LIVE):
        return False
    await _declare(core, tag, True)
    return True


async def undeclare(core: Core, tag: str) -> None:
    """Forgets a tag that no live entry carries. Raises NotFound, Conflict."""
    folded = fold(check_tag(tag))
    users = await reads.count(core, Tag(folded), Scope.LIVE)
    if users:
        raise Conflict(f"{users} entries carry the tag {tag}; take it from them first")
    await known(core, folded)
    await _declare(core, tag, False)


async def known(core: Core, folded: str) -> bool:
    """Whether the tag is declared. Raises NotFound where it is neither that nor in use."""
    declared = core.vocabulary.is_declared(folded)
    if not declared and not await reads.count(core, Tag(folded), Scope.ALL):
        raise NotFound(f"there is no tag {core.vocabulary.show(folded)!r}")
    return declared


async def _declare(core: Core, tag: str, declared: bool) -> None:
    await core.change(Ref("tag", fold(tag)), lambda _present, stamp: [declaration(tag, declared, stamp)])
