"""HTTP's Basic scheme: who asks, and what nobody may."""

from __future__ import annotations

from base64 import b64encode
from threading import Event

import pytest
from twisted.internet.threads import deferToThread

from tagfs.errors import BadRequest, Forbidden
from tagfs.front.web.login import MOST, read_basic
from tagfs.model.principal import OWNER, Principal, Role
from tests.front.web_world import API, Client, WebWorld, cheap_passwords, web

__all__ = ["cheap_passwords", "web"]
pytestmark = pytest.mark.usefixtures("cheap_passwords")


def basic(text: str) -> str:
    return f"Basic {b64encode(text.encode('utf-8', 'surrogateescape')).decode()}"


async def populate(web: WebWorld) -> None:
    for name, role in (("root", Role.ADMIN), ("ann", Role.READ)):
        await web.node.add_user(OWNER, name, role, f"p:{name}")


async def test_without_users_credentials_mean_nothing(web: WebWorld) -> None:
    """Whatever a client sends, it is the owner."""
    for value in (basic("a:b"), "Bearer x", "Basic !!!", ""):
        answer = await web.session(lambda client, value=value: client.get(f"{API}/entries", Authorization=value))  # type: ignore[misc]
        assert answer.status == 200


async def test_with_users_everything_but_health_asks(web: WebWorld) -> None:
    """401 with a challenge, on every route but those that say or show nothing of files; wrong credentials of all kinds are
    refused; right ones give the role."""
    await populate(web)
    identifier = await web.add("x")

    def work(client: Client) -> None:
        for route in web.factory.door.routes.all:
            path = route.path.replace("{id}", identifier)
            answer = client.ask(route.method, path)
            asks = not (
                path in ("/healthz", "/login")
                or path.startswith("/assets/")
                or (path.endswith("/session") and route.method != "DELETE")
            )
            assert (answer.status == 401) is asks, (route.method, path)
            assert ("WWW-Authenticate" in answer.headers) is asks
        for value, status in (
            (basic("ann:wrong"), 401),
            (basic("ann"), 400),
            ("Basic !!", 400),
            ("Bearer x", 401),
            (basic("nemo:x"), 401),
        ):
            assert client.get(f"{API}/entries", Authorization=value).status == status, value
        ann = basic("Ann:p:ann")
        assert client.get(f"{API}/entries", Authorization=ann).json()["total"] == 1
        refused = client.ask("DELETE", f"{API}/entries/{identifier}", Authorization=ann)
        assert refused.status == 403 and "role write" in refused.json()["detail"]
        assert client.ask("DELETE", f"{API}/entries/{identifier}", Authorization=basic("root:p:root")).status == 204

    await web.session(work)


async def test_a_refused_upload_leaves_nothing(web: WebWorld) -> None:
    """The body of a request without a right login is dropped, and the connection goes on."""
    await populate(web)

    def work(client: Client) -> None:
        assert client.ask("POST", f"{API}/entries?name=x", b"x" * 200_000, Authorization=basic("ann:no")).status == 401
        assert (
            client.ask("POST", f"{API}/entries?name=x", b"x" * 200_000, Authorization=basic("ann:p:ann")).status == 403
        )
        assert (
            client.ask("POST", f"{API}/entries?name=x", b"x" * 200_000, Authorization=basic("root:p:root")).status
            == 201
        )

    await web.session(work)
    assert len(await web.found()) == 1


async def test_what_goes_without_a_login_is_asked_for_beyond_that(
    web: WebWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where everybody may read, a change asks for a login; for who is logged in, it is a plain refusal."""
    await populate(web)
    monkeypatch.setattr(web.node, "anonymous", lambda: Principal("anonymous", Role.READ))

    def work(client: Client) -> None:
        assert client.get(f"{API}/entries").status == 200
        assert client.ask("POST", f"{API}/delete", {"query": "x"}).status == 401
        assert client.ask("POST", f"{API}/delete", {"query": "x"}, Authorization=basic("ann:p:ann")).status == 403

    await web.session(work)


async def test_a_stream_of_events_ends_with_the_right_to_it(web: WebWorld) -> None:
    """Who listens as the owner hears nothing more once there are users."""
    heard = Event()

    def work(client: Client) -> bytes:
        client.request("GET", f"{API}/events")
        answer = client.getresponse()
        while not answer.readline().startswith(b"event: nodes"):
            pass
        heard.set()
        return answer.read()

    listening = web.session(work)
    assert await deferToThread(heard.wait, 10)
    await populate(web)
    rest = await listening
    assert b"event: entries" not in rest


@pytest.mark.parametrize(
    "value", ["", "Basic", "Digest x", "Basic " + "A" * MOST, "Basic YQ==", "Basic é", "Basic a:b"]
)
def test_what_is_no_basic_is_refused(value: str) -> None:
    """Another scheme, no base64, no colon, too long."""
    with pytest.raises((Forbidden, BadRequest)):
        read_basic(value)


def test_names_and_passwords_come_as_they_are() -> None:
    """The name ends at the first colon; both are UTF-8."""
    assert read_basic(basic("ann:a:b ü")) == ("ann", "a:b ü")
    assert read_basic(basic(":")) == ("", "")
    assert read_basic(basic("x:\udcff")) == ("x", "\udcff")
