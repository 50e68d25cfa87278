"""Logging in to a node, and managing who may: without threads, with a clock that the test turns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from tagfs.errors import BadRequest, Conflict, Forbidden, NotFound, ReadOnly, TagfsError, Throttled
from tagfs.model.principal import NOBODY, OWNER, Principal, Role
from tagfs.model.query import parse
from tagfs.node import accounts as accounts_module
from tagfs.node import passwords
from tagfs.node.accounts import MOST_WAITING, PROVED_S, Accounts
from tagfs.node.node import Node
from tagfs.node.throttle import FREE_ADDRESS, FREE_USER
from tests.node.conftest import World, now

HERE = "192.0.2.1"


class Desk:
    """An Offload that works when it is told to."""

    pending = 0

    def __init__(self) -> None:
        self.waiting: list[tuple[Callable[[], Any], Deferred[Any]]] = []
        self.worked = 0

    def run(self, call: Callable[[], Any]) -> Deferred[Any]:
        self.waiting.append((call, Deferred()))
        return self.waiting[-1][1]

    def work(self) -> None:
        """Does all that waits."""
        while self.waiting:
            call, answer = self.waiting.pop(0)
            self.worked += 1
            answer.callback(call())

    def stop(self) -> None:
        """Nothing is left."""


class Site:
    """A node whose passwords are proved at a desk."""

    def __init__(self, world: World, anonymous: Principal = OWNER) -> None:
        self.desk = Desk()
        self.clock = Clock()
        self.world = world
        self.node = Node(world.core, "test", "", "", Accounts(world.core, self.desk, self.clock, anonymous))

    def do(self, coroutine: Any) -> Any:
        """The result of something that waits for the desk only."""
        task = Deferred.fromCoroutine(coroutine)
        self.desk.work()
        result = outcome(task)
        if isinstance(result, Exception):
            raise result
        assert task.called, "it waits for something else"
        return result

    def begin(self, name: str, password: str, address: str = HERE) -> Deferred[Principal]:
        return Deferred.fromCoroutine(self.node.login(name, password, address))

    def login(self, name: str, password: str, address: str = HERE) -> Principal:
        principal: Principal = self.do(self.node.login(name, password, address))
        return principal

    def populate(self) -> None:
        """An admin and a reader."""
        self.do(self.node.add_user(OWNER, "root", Role.ADMIN, "toor"))
        self.do(self.node.add_user(self.login("root", "toor"), "Ann", Role.READ, "secret"))
        self.desk.worked = 0


@pytest.fixture
def site(world: World, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setattr(passwords, "_LOG_N", 4)
    monkeypatch.setattr(accounts_module, "NEVER", passwords.NEVER.replace("$15$", "$4$"))
    return Site(world)


def outcome(deferred: Deferred[Any]) -> Any:
    """The result or the error of something that is over; None where it is not."""
    found: list[Any] = []
    deferred.addCallbacks(found.append, lambda failure: found.append(failure.value))
    return found[0] if found else None


def test_without_users_everybody_is_the_owner(site: Site) -> None:
    """Any name and password will do, and nothing is worked for it."""
    assert not site.node.has_users
    assert site.login("anything", "at all") == site.node.anonymous() == OWNER
    assert site.node.current(OWNER) == OWNER
    assert not site.desk.worked


def test_with_users_a_login_is_needed(site: Site) -> None:
    """A right password gives the user's role, in whatever case the name is typed; anything else gives nothing."""
    site.populate()
    assert site.node.has_users and site.node.anonymous() == NOBODY == site.node.current(OWNER)
    ann = site.login("ANN", "secret")
    assert (ann.name, ann.role) == ("ann", Role.READ)
    for name, password in (
        ("ann", "Secret"),
        ("ann", ""),
        ("bob", "secret"),
        ("", ""),
        ("anonymous", "x"),
        ("a\x00", "x"),
    ):
        with pytest.raises(Forbidden, match="do not go together"):
            site.login(name, password, f"198.51.100.{len(name)}")


def test_what_anonymous_grants_stays_with_users(world: World, site: Site) -> None:
    """Where the operator lets everybody read, USER anonymous is a login without more."""
    everybody = Principal("anonymous", Role.READ)
    site = Site(world, everybody)
    with pytest.raises(Forbidden):
        site.do(site.node.add_user(everybody, "x", Role.ADMIN, "x"))
    site.do(site.node.add_user(OWNER, "root", Role.ADMIN, "toor"))
    assert site.node.anonymous() == site.login("anonymous", "me@here") == site.login("ftp", "") == everybody
    assert site.login("root", "toor").role is Role.ADMIN
    with pytest.raises(Forbidden):
        site.login("bob", "")


def test_on_this_machine_alone_everybody_is_the_owner_until_there_are_users(world: World) -> None:
    """What is granted to everybody beyond loopback takes nothing away from who sits at the machine."""
    everybody = Principal("anonymous", Role.READ)
    site = Site(world, everybody)
    site.node._accounts.private = True
    assert site.node.anonymous() == OWNER
    site.do(site.node.add_user(OWNER, "root", Role.ADMIN, "toor"))
    assert site.node.anonymous() == everybody


def test_users_and_their_passwords_stay_over_a_restart(site: Site) -> None:
    """They are records, and what is kept of a password does not tell it."""
    site.populate()
    site.world.restart()
    again = Site(site.world)
    assert again.login("ann", "secret").role is Role.READ
    assert now(again.node.users(again.login("root", "toor"))) == [("ann", Role.READ), ("root", Role.ADMIN)]
    (ann, _root) = site.world.catalog.records("user", "", 10)
    assert "secret" not in repr(ann)


def test_rights_follow_the_records_at_once(site: Site) -> None:
    """Open sessions have today's role; a removal and a new password end them."""
    site.populate()
    root, ann = site.login("root", "toor"), site.login("ann", "secret")
    site.do(site.node.set_role(root, "ann", Role.WRITE))
    assert site.node.current(ann).role is Role.WRITE
    changed = site.do(site.node.set_password(site.node.current(ann), "ann", "new"))
    assert site.node.current(ann) == NOBODY and site.node.current(changed).role is Role.WRITE
    with pytest.raises(Forbidden):
        site.login("ann", "secret")
    site.do(site.node.remove_user(root, "Ann"))
    assert site.node.current(changed) == NOBODY
    with pytest.raises(Forbidden):
        site.login("ann", "new")
    site.do(site.node.add_user(root, "ann", Role.ADMIN, "new"))
    assert site.node.current(changed) == NOBODY
    assert site.login("ann", "new").role is Role.ADMIN


def test_only_admins_manage_users(site: Site) -> None:
    """A user may do one thing: change the own password."""
    site.populate()
    ann = site.login("ann", "secret")
    writer = Principal("writer", Role.WRITE)
    for who in (ann, writer, NOBODY):
        for ask in (
            site.node.users(who),
            site.node.add_user(who, "x", Role.READ, "x"),
            site.node.remove_user(who, "ann"),
            site.node.set_role(who, "ann", Role.ADMIN),
            site.node.set_password(who, "root", "mine"),
        ):
            with pytest.raises(Forbidden):
                site.do(ask)
    with pytest.raises(Forbidden):
        site.do(site.node.set_password(Principal("ann", Role.READ), "ann", "x"))  # the name alone proves nothing
    site.do(site.node.set_password(ann, "ANN", "other"))
    assert site.login("ann", "other")


def test_what_cannot_be_asked(site: Site) -> None:
    """Wrong arguments, unknown users, and what would leave nobody in charge."""
    refused: list[tuple[Any, type[TagfsError]]] = [
        (site.node.add_user(OWNER, "ann", Role.READ, "x"), Conflict),
        (site.node.add_user(OWNER, "a b", Role.ADMIN, "x"), BadRequest),
        (site.node.add_user(OWNER, "ann", Role.NONE, "x"), BadRequest),
        (site.node.add_user(OWNER, "ann", Role.ADMIN, ""), BadRequest),
    ]
    for ask, error in refused:
        with pytest.raises(error):
            site.do(ask)
    site.populate()
    root = site.login("root", "toor")
    refused = [
        (site.node.add_user(root, "ann", Role.READ, "x"), Conflict),
        (site.node.remove_user(root, "bob"), NotFound),
        (site.node.remove_user(root, "root"), Conflict),
        (site.node.set_role(root, "root", Role.WRITE), Conflict),
        (site.node.set_role(root, "ann", Role.NONE), BadRequest),
        (site.node.set_role(root, "bob", Role.ADMIN), NotFound),
        (site.node.set_password(root, "bob", "x"), NotFound),
        (site.node.set_password(root, "ann", "x" * 2000), BadRequest),
    ]
    for ask, error in refused:
        with pytest.raises(error):
            site.do(ask)
    site.world.core.read_only = "the disk is sick"
    for ask in (site.node.remove_user(root, "ann"), site.node.set_password(root, "root", "x")):
        with pytest.raises(ReadOnly):
            site.do(ask)


def test_two_requests_at_once_cannot_remove_both_admins(site: Site) -> None:
    """The rule about the last admin is kept one change at a time."""
    site.populate()
    root = site.login("root", "toor")
    site.do(site.node.set_role(root, "ann", Role.ADMIN))
    queue, site.world.core.committer._offload = site.world.core.committer._offload, Desk()
    first = Deferred.fromCoroutine(site.node.remove_user(root, "root"))
    second = Deferred.fromCoroutine(site.node.remove_user(root, "ann"))
    site.world.core.committer._offload.work()
    site.world.core.committer._offload = queue
    assert first.called and isinstance(outcome(second), Conflict)
    assert [user.name for user in site.world.core.users] == ["ann"]


def test_a_proof_is_remembered_for_a_while(site: Site) -> None:
    """HTTP sends the password each time: the work is done once in ten minutes, for one address, while the password is that."""
    site.populate()
    for _ in range(3):
        site.login("ann", "secret")
    assert site.desk.worked == 1
    site.login("ann", "secret", "192.0.2.2")
    site.clock.advance(PROVED_S + 1)
    site.login("ann", "secret")
    assert site.desk.worked == 3
    site.do(site.node.set_password(site.login("root", "toor"), "ann", "new"))
    with pytest.raises(Forbidden):
        site.login("ann", "secret")


def test_many_logins_at_once_with_one_password_are_proved_once(site: Site) -> None:
    """A browser or a mirror opens ten connections; the second to the last wait for the first."""
    site.populate()
    begun = [site.begin("ann", "secret") for _ in range(100)]
    assert len(site.desk.waiting) == 1
    begun[0].cancel()  # the first client leaves; its work is still of use to nobody, and the next goes on
    outcome(begun[0])
    site.desk.work()
    assert all(outcome(login).name == "ann" for login in begun[1:])
    assert site.desk.worked == 2
    assert not site.node._accounts._proving


def test_unknown_users_cost_as_much_as_known_ones(site: Site) -> None:
    """Neither work, words nor delays tell whether there is such a user."""
    site.populate()
    told = []
    for name, address in (("ann", "198.51.100.1"), ("nemo", "198.51.100.2")):
        worked = site.desk.worked
        answers = []
        for number in range(FREE_USER + 2):
            login = site.begin(name, f"guess {number}", address)
            site.desk.work()
            answers.append(repr(outcome(login)))
        waits = [call.getTime() - site.clock.seconds() for call in site.clock.getDelayedCalls()]
        told.append((answers, site.desk.worked - worked, waits))
        site.clock.advance(60)
        site.desk.work()
    assert told[0] == told[1]


def test_guesses_wait(site: Site) -> None:
    """After five wrong passwords the sixth is looked at later; the right one is answered then, and from elsewhere in time."""
    site.populate()
    for number in range(FREE_USER):
        with pytest.raises(Forbidden):
            site.login("ann", f"guess {number}")
    login = site.begin("ann", "secret")
    assert not site.desk.waiting and not login.called
    login = site.begin("ann", "secret", "192.0.2.9")
    site.clock.advance(0.5)
    site.clock.advance(2)
    site.desk.work()
    assert outcome(login).name == "ann"
    crowd = [site.begin("root", f"guess {number}", f"203.0.113.{number}") for number in range(60)]
    site.desk.work()
    assert sum(isinstance(outcome(guess), Throttled) for guess in crowd) > 40
    for guess in crowd:
        guess.cancel()


def test_who_guesses_at_an_address_gets_no_quick_answers_from_memory(site: Site) -> None:
    """A remembered proof would tell a right guess at once; beyond the free attempts even that waits."""
    site.populate()
    site.login("ann", "secret")
    for number in range(FREE_ADDRESS):
        outcome(site.begin(f"user{number}", "guess"))
        site.desk.work()
    right = site.begin("ann", "secret")
    assert not right.called and len(site.clock.getDelayedCalls()) == 1
    site.clock.advance(1)
    site.desk.work()
    assert outcome(right).name == "ann"


def test_the_queue_is_bounded(site: Site) -> None:
    """A flood from everywhere is told to try again; work that nobody waits for any more still counts until it is done."""
    site.populate()
    flood = [site.begin(f"user{n}", "x", f"10.0.{n}.1") for n in range(MOST_WAITING)]
    for login in flood:
        login.cancel()
        outcome(login)
    assert isinstance(outcome(site.begin("ann", "secret")), Throttled)
    site.desk.work()
    assert site.login("ann", "secret").name == "ann"


def test_a_user_removed_while_the_password_is_proved_is_not_let_in(site: Site) -> None:
    """What counts is how things are when the answer is given."""
    site.populate()
    root = site.login("root", "toor")
    login = site.begin("ann", "secret")
    now(site.node.remove_user(root, "ann"))
    site.desk.work()
    assert isinstance(outcome(login), Forbidden)


def test_an_upload_that_outlasts_the_right_to_it_stores_nothing(site: Site) -> None:
    """Neither as a new entry nor as a new content of one."""
    site.populate()
    root = site.login("root", "toor")
    site.do(site.node.set_role(root, "ann", Role.WRITE))
    ann = site.node.current(site.login("ann", "secret"))
    first = now(site.node.receive(ann))
    first.write(b"in time")
    identifier = now(first.add("kept", ())).id
    late = [now(site.node.receive(ann)) for _ in range(2)]
    for receiving in late:
        receiving.write(b"too late")
    site.do(site.node.set_role(root, "ann", Role.READ))
    with pytest.raises(Forbidden, match="no longer"):
        now(late[0].add("lost", ()))
    site.do(site.node.remove_user(root, "ann"))
    with pytest.raises(Forbidden, match="no longer"):
        now(late[1].replace(identifier))
    assert [entry.name for entry in now(site.node.find(root, parse(""))).entries] == ["kept"]
    assert site.world.content(identifier) == b"in time"
