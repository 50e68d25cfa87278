"""Users: names, roles, records, and who may be removed."""

from __future__ import annotations

import pytest

from tagfs.errors import BadRequest, Conflict, NotFound
from tagfs.model.principal import Principal, Role
from tagfs.model.record import Record, merge
from tagfs.model.stamp import Stamp
from tagfs.model.users import Users, added, check_user, read_role, removed, user_of, with_password, with_role


def at(time: int, node: str = "n") -> Stamp:
    return Stamp(time, node)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("ann", "ann"),
        ("Ann", "ann"),
        ("ÉMILE", "émile"),
        ("e\u0301", "é"),
        ("a@b.c-d_e/f", "a@b.c-d_e/f"),
        ("x" * 64, "x" * 64),
    ],
)
def test_names_that_differ_in_case_or_composition_are_one(text: str, name: str) -> None:
    """A name is kept folded, so that nobody can pass for another."""
    assert check_user(text) == name


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a b",
        "a\tb",
        "a\u00a0b",
        "a|b",
        'a"b',
        "a:b",
        "a\x00",
        "\udc80",
        "a\u2028b",
        "x" * 65,
        "ß" * 33,
        "anonymous",
        "FTP",
        "owner",
        "Nobody",
    ],
)
def test_what_is_no_name_is_refused(text: str) -> None:
    """Spaces, control characters, what protocols give a meaning, what is too long (folded, too), and reserved names."""
    with pytest.raises(BadRequest):
        check_user(text)


def test_roles_have_names() -> None:
    """Three of them, in any case; none is no role that one can have."""
    assert [read_role(text) for text in ("read", "WRITE", "admin")] == [Role.READ, Role.WRITE, Role.ADMIN]
    for text in ("none", "owner", ""):
        with pytest.raises(BadRequest, match="no role"):
            read_role(text)


def test_concurrent_changes_of_one_user_both_count() -> None:
    """A new role here and a new password there, made without knowing of each other, both hold after a merge."""
    ann = added("ann", Role.READ, "old", at(1))
    here, there = with_role("ann", Role.WRITE, at(2)), with_password("ann", "new", at(2, "m"))
    both = merge(merge(ann, here), there)
    assert both == merge(merge(ann, there), here)
    user = user_of(both)
    assert user is not None and (user.role, user.password) == (Role.WRITE, "new")
    gone = merge(both, removed("ann", at(3)))
    assert user_of(gone) is None and gone.value("password") is None
    assert user_of(merge(gone, added("ann", Role.ADMIN, "again", at(4)))) is not None


def test_a_record_that_makes_no_sense_is_no_user() -> None:
    """What a peer of another version, or a hostile one, may send gives nobody any right."""
    for fields in (
        {},
        {"role": "god", "password": "p"},
        {"role": "admin"},
        {"role": 3, "password": "p"},
        {"role": "admin", "password": 1},
    ):
        record = added("x", Role.READ, "p", at(1))
        made = {name: record.fields["role"]._replace(value=value) for name, value in fields.items()}  # type: ignore[arg-type]
        assert user_of(Record("user", "x", made)) is None


def test_the_first_user_is_an_admin_and_the_last_admin_stays() -> None:
    """Nobody can bring about that no one can manage users; once there were users, there is no way back to none."""
    users = Users()
    assert not users.exist
    with pytest.raises(Conflict, match="must be an admin"):
        users.check_add("ann", Role.WRITE)
    root, ann = added("root", Role.ADMIN, "p", at(1)), added("ann", Role.WRITE, "p", at(1))
    for record in (root, ann):
        users.learn(record)
    with pytest.raises(Conflict, match="already"):
        users.check_add("ANN", Role.READ)
    for what in ("removed", "demoted"):
        with pytest.raises(Conflict, match=f"last admin and cannot be {what}"):
            users.check_loss("ROOT", what)
    assert users.check_loss("Ann", "removed").name == "ann"
    with pytest.raises(NotFound):
        users.check_loss("bob", "removed")
    users.learn(merge(ann, with_role("ann", Role.ADMIN, at(2))))
    assert users.check_loss("root", "removed").role is Role.ADMIN
    users.learn(merge(root, removed("root", at(3))))
    users.learn(merge(ann, removed("ann", at(3, "m"))))  # on the other side of a cut
    assert users.exist and not list(users)


def test_who_logged_in_is_known_by_the_password_of_then() -> None:
    """A role of today replaces the one of then; a new password, a removal, and a new user of the old name end it."""
    users = Users()
    ann = added("ann", Role.READ, "old", at(1))
    users.learn(ann)
    then = users.known("ann").principal
    assert users.current(then) == then
    promoted = merge(ann, with_role("ann", Role.ADMIN, at(2)))
    users.learn(promoted)
    now = users.current(then)
    assert now is not None and now.role is Role.ADMIN
    for change in (with_password("ann", "new", at(3)), removed("ann", at(3)), added("ann", Role.READ, "again", at(4))):
        users.learn(merge(promoted, change))
        assert users.current(then) is None
    assert users.current(Principal("ann", Role.ADMIN)) is None
