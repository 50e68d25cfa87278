"""A client against an honest node: what is asked is answered, in order, also across broken connections."""

import io
import threading

import pytest

from tagfs.client import (
    BadArgument,
    Body,
    Client,
    Command,
    ConnectionFailed,
    Missing,
    NoGreeting,
    NotLoggedIn,
    NotSupported,
    SourceFailed,
    TryLater,
)
from tagfs.client import client as client_module
from tagfs.client.adding import add_command
from tagfs.client.errors import refusal
from tests.client.fake_server import MemoryNode, Script, Shelf


def test_store_find_read(client):
    """A content stored with odd names and tags comes back as it was."""
    stored = client.add('a "b" | c.txt', b"hello", tags=["x y", "year=2024", "a|b", "ü"], folder="f o/b")
    (row,) = client.find('"x y" and "a|b"')
    assert (row.id, row.name, row.size) == (stored.id, 'a "b" | c.txt', 5)
    assert set(row.tags) == {"x y", "year=2024", "a|b", "ü"}
    pieces = []
    assert client.get(stored.id, pieces.append) == 5
    assert b"".join(pieces) == b"hello"
    assert client.info(stored.id).get("home") == "f o/b"
    assert client.info(stored.id).tags == row.tags


def test_an_empty_content(client):
    """Zero bytes are a content as any other."""
    stored = client.add("empty", b"")
    assert client.get(stored.id, pytest.fail) == 0


def test_refusals_are_typed(client):
    """Each kind of refusal is an error of its own with code and text; the connection goes on."""
    with pytest.raises(Missing, match="no entry") as caught:
        client.info("nothing")
    assert caught.value.code == 550
    with pytest.raises(BadArgument):
        client.count("a and")
    with pytest.raises(NotSupported):
        client.request("BREW coffee")
    with pytest.raises(BadArgument):
        list(client.find("("))
    assert client.count() == 0


def test_changes_say_how_many(client):
    """Bulk changes answer with the number of entries."""
    client.add("a", b"1", tags=["t"])
    client.add("b", b"2", tags=["t"])
    assert client.add_tags("t", ["new one"]).entries == 2
    assert client.delete_tags("t", ["new one"]).entries == 2
    assert client.delete("t").entries == 2
    assert client.count() == 0
    assert client.restore("t").entries == 2
    assert client.rename_tag("t", "u u").entries == 2
    assert client.tags() == [("u u", 2)]
    client.delete('"u u"')
    assert client.purge('"u u"').entries == 2


def test_ten_thousand_small_contents_in_flight(client, node):
    """Many contents are stored without waiting for each reply, and replies come in order."""
    commands = (add_command(f"n{i}", b"%d" % i * 100, tags=["t"], token=i) for i in range(3000))
    tokens = [command.token for command, reply in client.pipelined(commands) if reply.code == 250]
    assert tokens == list(range(3000))
    assert len(node.shelf.entries) == 3000


def test_a_large_body_is_read_as_it_is_sent(client, node):
    """A file is streamed; small commands before and after it are answered in order."""
    content = bytes(range(256)) * 20_000
    seen = []
    body = Body(lambda: io.BytesIO(content), len(content), "big", lambda n: seen.append(n))
    commands = [Command("COUNT"), add_command("big", body), Command("COUNT")]
    texts = [reply.text.split()[0] for _, reply in client.pipelined(commands)]
    assert texts[0] == "0"
    assert texts[2] == "1"
    assert node.shelf.entries[texts[1]].data == content
    assert sum(seen) == len(content)


def test_a_file_that_shrinks_stores_nothing(client, node):
    """Where a file gives fewer bytes than announced, the connection is given up and nothing is stored; then work goes on."""
    with pytest.raises(SourceFailed):
        client.add("x", Body(lambda: io.BytesIO(b"short"), 10, "x"))
    assert client.count() == 0


def test_several_downloads_in_one_go(client):
    """Contents are handed to their own receivers, in order."""
    ids = [client.add(f"n{i}", b"%d" % i * 1000).id for i in range(20)]
    parts = {made: [] for made in ids}
    commands = [Command(f"GET {made}", receive=parts[made].append) for made in ids]
    assert [reply.code for _, reply in client.pipelined(commands, window=8)] == [226] * 20
    assert all(b"".join(parts[made]) == b"%d" % i * 1000 for i, made in enumerate(ids))


def test_an_add_with_a_lost_reply_is_stored_once(client, node):
    """The connection breaks after storing and before the reply: the repeat with the same key stores nothing more."""
    node.shelf.cut_after_adds = 0
    stored = client.add("x", b"data")
    assert list(node.shelf.entries) == [stored.id]


def test_a_question_is_asked_again_on_a_new_connection(client):
    """A connection that broke while idle is replaced for questions."""
    client.add("x", b"data")
    client._channel._sock.shutdown(2)
    assert client.count() == 1
    client._channel._sock.shutdown(2)
    assert [row.name for row in client.find()] == ["x"]


def test_an_idle_session_that_was_closed_is_replaced(client, node):
    """A node ends idle sessions with 421; the next command, a change too, goes over a new one and is done once."""
    client.add("x", b"data", tags=["t"])
    for ending in (b"421 idle for too long\r\n", b""):
        (session,) = node.sessions
        session.sendall(ending)
        session.shutdown(2)
        while not client._channel.stale():
            pass
        assert client.delete("t").entries == 1
        assert client.restore("t").entries == 1


def test_a_stream_left_in_the_middle_does_not_shift_answers(client):
    """After breaking out of a list, the next question gets its own answer."""
    for i in range(10):
        client.add(f"n{i}", b"x")
    for _ in client.find():
        break
    assert client.count() == 10


def test_totals_are_known_after_the_rows(client):
    """total counts all matches, also past a limit."""
    for i in range(5):
        client.add(f"n{i}", b"x")
    found = client.find(limit=2, sort="name")
    assert [row.name for row in found] == ["n0", "n1"]
    assert found.total == 5
    assert found.complete


def test_login():
    """Without a login, commands are refused; with the right one they work, also after a reconnect."""
    with MemoryNode(Shelf(password="secret word")) as node:
        with Client(port=node.port) as nobody, pytest.raises(NotLoggedIn):
            nobody.count()
        with pytest.raises(NotLoggedIn):
            Client(port=node.port, user="ann", password="wrong")
        with Client(port=node.port, user="ann", password=lambda: "secret word") as ann:
            assert ann.count() == 0
            ann.reconnect()
            assert ann.count() == 0


def test_nothing_listens(unused_port):
    """A refused connection names the address."""
    with pytest.raises(ConnectionFailed, match=f"127.0.0.1:{unused_port}"):
        Client(port=unused_port)


@pytest.fixture
def unused_port():
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def test_ipv6():
    """IPv6 addresses work."""
    import socket

    try:
        listener = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("no IPv6 here")
    port = listener.getsockname()[1]

    def serve():
        sock, _ = listener.accept()
        with sock:
            sock.sendall(b"220 hi\r\n")
            sock.recv(1000)
            sock.sendall(b"213 7\r\n")
            sock.recv(1000)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    with Client("::1", port, timeout=10) as client:
        assert client.count() == 7
    thread.join(5)
    listener.close()


def test_a_greeting_is_not_waited_for_as_long_as_an_answer(monkeypatch):
    """Where nothing speaks first it is no node, however much time its answers may take."""
    monkeypatch.setattr(client_module, "GREETING_S", 0.05)
    with Script(lambda sock, lines: lines.readline() and None) as server, pytest.raises(NoGreeting, match="HTTP"):
        Client(port=server.port, timeout=30)


@pytest.mark.parametrize("code", [426, 450, 451])
def test_what_may_be_tried_again_is_told_apart(code: int) -> None:
    """A transfer that was stopped, too: another node, or this one later, may give it."""
    assert isinstance(refusal(code, "stopped"), TryLater)
