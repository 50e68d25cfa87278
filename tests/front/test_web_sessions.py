"""The log-in page's session: a cookie that a script cannot read, changes only with the token, and an end to it."""

from __future__ import annotations

import re
from typing import Any

import pytest
from twisted.internet.defer import gatherResults
from twisted.internet.task import Clock

from tagfs.front.web import sessions as module
from tagfs.front.web.sessions import IDLE_S, LIFE_S, Sessions
from tagfs.model.principal import OWNER, Principal, Role
from tests.front.test_web_uploads import until
from tests.front.web_world import API, Answer, Client, WebWorld, cheap_passwords, web

__all__ = ["cheap_passwords", "web"]
pytestmark = pytest.mark.usefixtures("cheap_passwords")

SESSION = f"{API}/session"


async def populate(web: WebWorld) -> None:
    for name, role in (("root", Role.ADMIN), ("ann", Role.READ)):
        await web.node.add_user(OWNER, name, role, f"p:{name}")


def log_in(client: Client, name: str = "root", **headers: str) -> tuple[dict[str, str], Any]:
    """The headers that a browser and the page's script then send, and what the node said."""
    answer = client.ask("POST", SESSION, {"name": name, "password": f"p:{name}"}, **headers)
    assert answer.status == 200, answer.body
    value = answer.json()
    return {"Cookie": answer.headers["Set-Cookie"].partition(";")[0], "X_CSRF_Token": value["csrf"]}, value


async def test_a_session_tells_who_asks(web: WebWorld) -> None:
    """Name and password give a cookie; with it one is known, reads, and with the token changes; without, one is nobody."""
    await populate(web)

    def work(client: Client) -> None:
        assert client.get(SESSION).json() == {"name": None, "role": "none", "csrf": None, "users": True}
        proof, value = log_in(client)
        assert (value["name"], value["role"], value["users"]) == ("root", "admin", True)
        cookie = proof["Cookie"]
        assert client.get(SESSION, Cookie=cookie).json() == value
        assert client.get(f"{API}/entries", Cookie=f"other=1; {cookie}; more=a,b").status == 200
        assert client.ask("POST", f"{API}/entries?name=a", b"x", **proof).status == 201
        assert client.get(f"{API}/entries").status == 401
        for wrong in (cookie[:-1], cookie + "x", cookie.partition("=")[0], "=", ";;", "tagfs-é=x"):
            assert client.get(f"{API}/entries", Cookie=wrong).status == 401, wrong

    await web.session(work)


async def test_the_cookie_is_out_of_reach(web: WebWorld) -> None:
    """No script reads it, no other site sends it with a change, it is long, and new at every log-in; wrong passwords get none."""
    await populate(web)

    def work(client: Client) -> None:
        first, second = (
            client.ask("POST", SESSION, {"name": "root", "password": "p:root"}).headers["Set-Cookie"] for _ in range(2)
        )
        assert first != second
        assert re.fullmatch(r"tagfs-testnode=[\w-]{43}; Path=/; Max-Age=\d+; HttpOnly; SameSite=Lax", first), first
        for given, cookie in (
            ({"name": "root", "password": "no"}, "x"),
            ({"name": "nemo", "password": "p:root"}, "x"),
            ({"name": "root", "password": "no"}, first.partition(";")[0]),
        ):
            answer = client.ask("POST", SESSION, given, Cookie=cookie)
            assert answer.status == 401 and answer.headers["Set-Cookie"] is None
        for given, status in (({"name": "root"}, 400), ({"name": "root", "password": "x" * 5000}, 400)):
            assert client.ask("POST", SESSION, given).status == status
        assert client.ask("POST", SESSION, b"name=root&password=p:root").status == 415
        answer = client.ask("POST", SESSION, {"name": "root", "password": "p:root"}, Origin="http://evil.example")
        assert answer.status == 403

    await web.session(work)


def test_under_tls_the_cookie_is_secure(web: WebWorld) -> None:
    """A cookie that was given under TLS is never sent without it, and is bound to this host."""
    cookie = Sessions(web.node, Clock()).cookie("v", secure=True)
    assert cookie.startswith("__Host-tagfs-testnode=v; Path=/;") and cookie.endswith("; Secure")


async def test_changes_need_the_token(web: WebWorld) -> None:
    """On every changing method, also to log out; that of another session does not do; nothing is changed meanwhile."""
    await populate(web)
    identifier = await web.add("a", "t")
    entry = f"{API}/entries/{identifier}"

    def work(client: Client) -> None:
        proof, _ = log_in(client)
        other, _ = log_in(client)
        cookie = proof["Cookie"]
        for headers in ({}, {"X_CSRF_Token": ""}, {"X_CSRF_Token": "é"}, {"X_CSRF_Token": other["X_CSRF_Token"]}):
            headers["Cookie"] = cookie
            for method, path, body in (
                ("POST", f"{API}/entries?name=b", b"x"),
                ("PUT", f"{entry}/content", b"x"),
                ("PATCH", entry, {"name": "b"}),
                ("DELETE", entry, None),
                ("POST", f"{API}/delete", {"query": "t"}),
                ("DELETE", SESSION, None),
            ):
                answer = client.ask(method, path, body, **headers)
                assert answer.status == 403 and "X-CSRF-Token" in answer.json()["detail"], (method, path)
        assert client.get(entry, Cookie=cookie).json()["name"] == "a"
        assert client.ask("DELETE", entry, **proof).status == 204

    await web.session(work)


async def test_log_out_ends_it_on_the_node(web: WebWorld) -> None:
    """A copy of the cookie is worth nothing afterwards; the browser is told to forget it; another session goes on."""
    await populate(web)

    def work(client: Client) -> None:
        proof, _ = log_in(client)
        other, _ = log_in(client, "ann")
        answer = client.ask("DELETE", SESSION, **proof)
        assert answer.status == 204 and "Max-Age=0" in answer.headers["Set-Cookie"]
        assert client.get(f"{API}/entries", **proof).status == 401
        assert client.ask("DELETE", SESSION, **proof).status == 401
        assert client.get(f"{API}/entries", **other).status == 200
        again, _ = log_in(client, "root", Cookie=other["Cookie"])
        assert client.get(f"{API}/entries", **other).status == 401  # one browser has one session
        assert client.get(f"{API}/entries", **again).status == 200

    await web.session(work)
    assert len(web.factory.door.sessions) == 1


async def test_it_ends_with_its_user_and_its_password(web: WebWorld) -> None:
    """At once: another role counts with the next request; another password, or none, ends it."""
    await populate(web)
    proofs = await web.session(lambda client: [log_in(client, name)[0] for name in ("ann", "root", "ann")])
    ann, root, second = proofs

    async def status(proof: dict[str, str], method: str = "GET", path: str = f"{API}/entries") -> int:
        def work(client: Client) -> Answer:
            return client.ask(method, path, {"query": "x"} if method == "POST" else None, **proof)

        return (await web.session(work)).status

    assert await status(ann, "POST", f"{API}/delete") == 403
    await web.node.set_role(OWNER, "ann", Role.WRITE)
    assert await status(ann, "POST", f"{API}/delete") == 200
    await web.node.set_password(OWNER, "ann", "other word")
    assert [await status(proof) for proof in (ann, second, root)] == [401, 401, 200]
    await web.node.add_user(OWNER, "boss", Role.ADMIN, "p:boss")
    await web.node.remove_user(OWNER, "root")
    assert await status(root) == 401
    assert len(web.factory.door.sessions) == 0


async def test_events_end_with_the_session(web: WebWorld) -> None:
    """What lasts does not outlive the log-out."""
    await populate(web)

    def work(client: Client) -> bytes:
        proof, _ = log_in(client)
        client.request("GET", f"{API}/events", headers={"Cookie": proof["Cookie"]})
        answer = client.getresponse()
        while not answer.readline().startswith(b"event: nodes"):
            pass
        other = Client(web.host, web.port, timeout=10)
        assert other.ask("DELETE", SESSION, **proof).status == 204
        assert other.put_entry("b", Authorization="Basic cm9vdDpwOnJvb3Q=")
        other.close()
        return answer.read()

    assert b"event: entries" not in await web.session(work)


async def test_guesses_are_slowed_down(web: WebWorld) -> None:
    """The log-in page is no way around the throttle of the other doors: after some guesses one has to wait, and a crowd is sent away."""
    await populate(web)
    web.node._accounts._clock = clock = Clock()

    def guess(client: Client) -> int:
        return client.ask("POST", SESSION, {"name": "root", "password": "guess"}).status

    for _ in range(5):
        assert await web.session(guess) == 401
    guessing = web.session(guess)
    await until(lambda: bool(clock.getDelayedCalls()))
    assert not guessing.called
    clock.advance(1)
    assert await guessing == 401
    crowd = [web.session(lambda client, word=word: client.ask("POST", SESSION, {"name": "root", "password": word}).status)
             for word in "abcdefgh"]  # fmt: skip
    await until(lambda: any(one.called for one in crowd))
    while not all(one.called for one in crowd):
        clock.advance(1)
        await until(lambda: bool(clock.getDelayedCalls()) or all(one.called for one in crowd))
    assert sorted(await gatherResults(crowd))[-1] == 429


async def test_browsers_are_led_to_the_page(web: WebWorld) -> None:
    """Who wants to see something is sent to log in and back; a script gets 401 and no browser asks in a window of its own;
    programs get the Basic challenge."""
    await populate(web)

    def work(client: Client) -> None:
        for headers in ({"Sec_Fetch_Mode": "navigate"}, {"Accept": "text/html,*/*"}):
            answer = client.get("/?q=a%20b", **headers)
            assert answer.status == 303 and answer.headers["Location"] == "/login?next=/%3Fq%3Da%2520b"
        answer = client.get(f"{API}/entries", Sec_Fetch_Mode="cors", Accept="*/*")
        assert answer.status == 401 and answer.headers["WWW-Authenticate"].startswith("Session ")
        assert client.get(f"{API}/entries").headers["WWW-Authenticate"].startswith("Basic ")
        wrong = client.get("/", Authorization="Basic YTpi", Accept="text/html")
        assert wrong.status == 401 and wrong.headers["WWW-Authenticate"].startswith("Basic ")
        page = client.get("/login?next=/")
        assert page.status == 200 and b'id="password"' in page.body
        for asset in re.findall(rb'(?:src|href)="(/assets/[^"]+)"', page.body):
            assert client.get(asset.decode()).status == 200

    await web.session(work)


async def test_without_users_there_is_no_session(web: WebWorld) -> None:
    """Everybody is the owner then; a log-in is answered, and gives no cookie."""

    def work(client: Client) -> None:
        answer = client.ask("POST", SESSION, {"name": "a", "password": "b"})
        assert answer.status == 200 and answer.headers["Set-Cookie"] is None
        assert answer.json() == {"name": None, "role": "admin", "csrf": None, "users": False}
        assert client.ask("DELETE", SESSION).status == 204

    await web.session(work)


async def test_sessions_are_bounded_in_time_and_number(web: WebWorld, monkeypatch: Any) -> None:
    """They end when quiet for long, and some day in any case; too many of a user, or of all, end the ones not used for longest."""
    await populate(web)
    people = [await web.node.login(name, f"p:{name}", "192.0.2.1") for name in ("root", "ann")]
    clock = Clock()
    sessions = Sessions(web.node, clock)

    def begin(who: Principal) -> str:
        return f"{sessions.name}={sessions.begin(who)[1]}"

    cookie = begin(people[0])
    clock.advance(IDLE_S)
    assert sessions.find(cookie) is not None
    clock.advance(IDLE_S + 1)
    assert sessions.find(cookie) is None
    cookie = begin(people[0])
    while clock.seconds() < 2 * IDLE_S + LIFE_S:
        assert sessions.find(cookie) is not None
        clock.advance(IDLE_S)
    clock.advance(2)
    assert sessions.find(cookie) is None and len(sessions) == 0

    monkeypatch.setattr(module, "MOST_OF_USER", 3)
    monkeypatch.setattr(module, "MOST", 5)
    first, second, third = (begin(people[0]) for _ in range(3))
    assert sessions.find(first) is not None
    fourth = begin(people[0])
    assert [sessions.find(each) is not None for each in (first, second, third, fourth)] == [True, False, True, True]
    for _ in range(3):
        begin(people[1])
    assert len(sessions) == 5 and sessions.find(first) is None
