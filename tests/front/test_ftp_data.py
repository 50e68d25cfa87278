"""Data connections: who may have one, and how bytes flow over it."""

from __future__ import annotations

import io
import socket
import struct
from collections.abc import AsyncIterator, Callable
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
import pytest_twisted
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet import task
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger, globalLogPublisher, textFileLogObserver

from tagfs.errors import BadRequest, StorageFull
from tagfs.front.ftp import data_ports, data_setup
from tagfs.front.ftp.data_channel import DataLost
from tagfs.front.ftp.data_connection import DataConnection
from tagfs.front.ftp.data_lines import (
    Address,
    Target,
    WrongProtocol,
    check_epsv,
    epsv_text,
    parse_eprt,
    parse_port,
    pasv_text,
    plain_address,
)
from tagfs.front.ftp.data_ports import NoDataConnection, PassivePorts
from tagfs.front.ftp.data_setup import DataSetup, RefusedTarget

HOME = IPv4Address("127.0.0.1")
AWAY = IPv4Address("127.0.0.2")


# Lines


@given(st.ip_addresses(v=4), st.integers(0, 65535))
def test_port_reads_what_pasv_writes(host: IPv4Address, port: int) -> None:
    """The six numbers mean the same address in both directions."""
    text = pasv_text(host, port)
    assert parse_port(text[text.index("(") + 1 : text.index(")")]) == Target(host, port)


@given(st.ip_addresses(), st.integers(0, 65535), st.sampled_from("|!#"))
def test_eprt_reads_both_families(host: IPv4Address | IPv6Address, port: int, bar: str) -> None:
    """EPRT names any address, with any character as the bar."""
    text = bar.join(["", "1" if host.version == 4 else "2", str(host), str(port), ""])
    assert parse_eprt(text) == Target(plain_address(str(host)), port)


@pytest.mark.parametrize("text", ["", "1,2,3,4,5", "1,2,3,4,5,256", "1,2,3,4,5,6,7", "a,b,c,d,e,f", "1,2,3,4,5,٦"])
def test_a_malformed_port_is_refused(text: str) -> None:
    """Six numbers from 0 to 255, nothing else."""
    with pytest.raises(BadRequest):
        parse_port(text)


@pytest.mark.parametrize(
    "text", ["", "|", "|1|1.2.3.4|5", "|1|1.2.3|5|", "|2|1.2.3.4|5|", "|1|1.2.3.4|x|", "|1|1.2.3.4|70000|", "x"]
)
def test_a_malformed_eprt_is_refused(text: str) -> None:
    """Three fields between bars, that fit each other."""
    with pytest.raises(BadRequest):
        parse_eprt(text)


def test_unknown_network_protocols_are_told_which_to_use() -> None:
    """RFC 2428: 522 names the protocols that do work."""
    with pytest.raises(WrongProtocol, match=r"\(1,2\)"):
        parse_eprt("|3|x|5|")
    check_epsv("", HOME)
    check_epsv("1", HOME)
    check_epsv("2", IPv6Address("::1"))
    with pytest.raises(WrongProtocol, match=r"\(1\)") as caught:
        check_epsv("2", HOME)
    assert caught.value.ftp == 522
    with pytest.raises(BadRequest):
        check_epsv("ALLES", HOME)
    assert epsv_text(6446) == "Entering Extended Passive Mode (|||6446|)"


def test_ipv4_through_an_ipv6_socket_is_ipv4() -> None:
    """An address is the same however it came."""
    assert plain_address("::ffff:127.0.0.1") == HOME
    assert plain_address("fe80::1%eth0") == IPv6Address("fe80::1")


# Passive ports


def call(address: tuple[str, int], source: str = "127.0.0.1") -> socket.socket:
    """A client's end of a data connection."""
    caller = socket.socket()
    caller.settimeout(5)
    caller.bind((source, 0))
    caller.connect(address)
    caller.setblocking(False)
    return caller


async def until(condition: Callable[[], object]) -> None:
    """Waits for a condition; the test's own limit ends it."""
    from twisted.internet import reactor

    while not condition():
        await task.deferLater(reactor, 0.002)


async def received(sock: socket.socket) -> bytes:
    """All that comes until the other side ends the connection, without blocking the reactor."""
    pieces: list[bytes] = []

    def step() -> bool:
        try:
            data = sock.recv(1 << 20)
        except BlockingIOError:
            return False
        pieces.append(data)
        return not data

    await until(step)
    return b"".join(pieces)


@pytest_twisted.async_yield_fixture
async def ports() -> AsyncIterator[PassivePorts]:
    from twisted.internet import reactor

    pool = PassivePorts(reactor, size=2)
    yield pool
    await pool.close()


@pytest.fixture
def setup(ports: PassivePorts) -> DataSetup:
    from twisted.internet import reactor

    return DataSetup(reactor, ports, HOME, HOME)


async def opened(setup: DataSetup) -> tuple[DataConnection, socket.socket]:
    """Both ends of a passive data connection."""
    host, port = await setup.listen()
    caller = call((str(host), port))
    return await setup.open(), caller


async def test_ports_of_the_pool_make_no_noise(ports: PassivePorts) -> None:
    """A log is for people: ports that open and close on their own do not fill it."""
    log = io.StringIO()
    observer = textFileLogObserver(log)
    globalLogPublisher.addObserver(observer)
    try:
        lease = await ports.lease(HOME, HOME, lambda connection: None)
        Logger().info("the log works")
        lease.release()
        await ports.close()
    finally:
        globalLogPublisher.removeObserver(observer)
    (line,) = log.getvalue().splitlines()
    assert line.endswith("the log works")


async def test_strangers_are_turned_away(ports: PassivePorts, setup: DataSetup) -> None:
    """Only the peer of the control connection gets the data connection; others are closed at once, and take nothing."""
    host, port = await setup.listen()
    stranger = call((str(host), port), source="127.0.0.2")
    assert await received(stranger) == b""
    friend = call((str(host), port))
    connection = await setup.open()
    assert plain_address(connection.transport.getPeer().host) == HOME
    late = call((str(host), port))
    assert await received(late) == b""
    connection.abort()
    for sock in (stranger, friend, late):
        sock.close()


async def test_ports_are_kept_open_and_leased_again(ports: PassivePorts, setup: DataSetup) -> None:
    """The same listeners serve one transfer after the other."""
    seen = set()
    for _ in range(20):
        host, port = await setup.listen()
        seen.add(port)
        caller = call((str(host), port))
        (await setup.open()).abort()
        caller.close()
    assert len(seen) == 2


async def test_a_call_that_came_for_an_earlier_lease_gets_no_later_one(ports: PassivePorts, setup: DataSetup) -> None:
    """A client that called and gave up does not stand before the one that the port is leased for now."""
    stale = []
    while len(stale) < 4:
        host, port = await setup.listen()
        stale.append(call((str(host), port)))
        setup.clear()
    host, port = await setup.listen()
    fresh = call((str(host), port))
    connection = await setup.open()
    assert connection.transport.getPeer().port == fresh.getsockname()[1]
    connection.abort()
    for sock in (*stale, fresh):
        sock.close()


async def test_the_pool_is_bounded(ports: PassivePorts, setup: DataSetup, monkeypatch: pytest.MonkeyPatch) -> None:
    """When all ports are leased, one more waits until one is given back, in turn; not for ever, but then gets 425."""
    from twisted.internet import reactor

    clock = task.Clock()
    first, second, third = (DataSetup(reactor, ports, HOME, HOME) for _ in range(3))
    taken = [(await other.listen())[1] for other in (first, second)]
    monkeypatch.setattr(ports, "_reactor", clock)
    waiting = [Deferred.fromCoroutine(other.listen()) for other in (setup, third)]
    leaver = Deferred.fromCoroutine(DataSetup(reactor, ports, HOME, HOME).listen())
    late = Deferred.fromCoroutine(DataSetup(reactor, ports, HOME, HOME).listen())
    leaver.cancel()
    with pytest.raises(CancelledError):
        await leaver
    first.clear()
    assert (await waiting[0])[1] == taken[0]
    assert not waiting[1].called
    second.clear()
    assert (await waiting[1])[1] == taken[1]
    clock.advance(data_ports.WAIT_S)
    with pytest.raises(NoDataConnection, match="passive ports are taken") as caught:
        await late
    assert caught.value.ftp == 425
    for other in (setup, third):
        other.clear()
    monkeypatch.undo()


async def test_who_never_calls_leaves_ports_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """An address has a bounded number of ports that wait for it: more wait for these, and are told so, while others get theirs
    at once. A call, and a session that ends, make room."""
    from twisted.internet import reactor

    pool = PassivePorts(reactor, size=8, per_host=3)
    made: list[DataSetup] = []

    def setup(peer: Address = HOME) -> DataSetup:
        made.append(DataSetup(reactor, pool, HOME, peer))
        return made[-1]

    hoard = [setup() for _ in range(3)]
    ports = [(await each.listen())[1] for each in hoard]
    clock = task.Clock()
    monkeypatch.setattr(pool, "_reactor", clock)
    late, later = (Deferred.fromCoroutine(setup().listen()) for _ in range(2))
    monkeypatch.undo()
    assert not late.called
    await setup(ip_address("127.0.0.2")).listen()
    with call(("127.0.0.1", ports[0])) as caller:
        connection = await hoard[0].open()
        await late
        connection.transport.loseConnection()
        assert await received(caller) == b""
    assert not later.called
    clock.advance(data_ports.WAIT_S)
    with pytest.raises(NoDataConnection, match=r"3 passive ports wait for calls from 127\.0\.0\.1 already") as caught:
        await later
    assert caught.value.ftp == 425
    hoard[1].clear()
    await setup().listen()
    for each in made:
        each.clear()
    await pool.close()


@pytest.mark.parametrize(("size", "ports", "most"), [(2, None, 2), (8, None, 6), (256, range(50_000, 50_100), 75)])
async def test_no_address_has_more_than_three_quarters(size: int, ports: range | None, most: int) -> None:
    """Whatever is set, and where a small range of ports is."""
    assert PassivePorts(task.Clock(), size=size, per_host=200, ports=ports).per_host == most


async def test_a_free_port_of_another_address_makes_room(ports: PassivePorts, setup: DataSetup) -> None:
    """The bound holds for all local addresses together."""
    from twisted.internet import reactor

    for local in ("127.0.0.1", "127.0.0.2", "127.0.0.3"):
        other = DataSetup(reactor, ports, ip_address(local), HOME)
        host, _ = await other.listen()
        assert str(host) == local
        other.clear()


async def test_ports_come_from_the_range() -> None:
    """Where a range is set, no other port is opened, and a range in use is an error that says so."""
    from twisted.internet import reactor

    probe = socket.socket()
    probe.bind(("127.0.0.1", 0))
    taken = probe.getsockname()[1]
    other = socket.socket()
    other.bind(("127.0.0.1", 0))
    free = other.getsockname()[1]
    other.close()
    probe.listen()
    pool = PassivePorts(reactor, ports=[taken, free])
    setup = DataSetup(reactor, pool, HOME, HOME)
    assert (await setup.listen())[1] == free
    with pytest.raises(NoDataConnection, match="no passive port"):
        await DataSetup(reactor, pool, HOME, HOME).listen()
    setup.clear()
    await pool.close()
    probe.close()


async def test_masquerade_is_for_clients_from_elsewhere() -> None:
    """Behind NAT, PASV tells the outer address; a client on this machine gets the one that it called."""
    from twisted.internet import reactor

    outer = IPv4Address("192.0.2.7")
    pool = PassivePorts(reactor, masquerade=outer)
    near = DataSetup(reactor, pool, HOME, HOME)
    far = DataSetup(reactor, pool, HOME, IPv4Address("198.51.100.9"))
    assert (await near.listen())[0] == HOME
    assert (await far.listen())[0] == outer
    near.clear()
    far.clear()
    await pool.close()


async def test_a_client_that_never_calls_is_waited_for_in_vain_but_not_for_ever(ports: PassivePorts) -> None:
    """The lease ends by itself, and a transfer that waits is told 425."""
    clock = task.Clock()
    setup = DataSetup(clock, ports, HOME, HOME)
    await setup.listen()
    clock.advance(data_setup.LEASE_S)
    assert not setup.is_set
    await setup.listen()
    waiting = Deferred.fromCoroutine(setup.open())
    clock.advance(data_setup.CALL_S)
    with pytest.raises(NoDataConnection, match="did not open"):
        await waiting
    assert not setup.is_set
    assert not clock.getDelayedCalls()


async def test_a_transfer_may_begin_before_the_client_calls(setup: DataSetup) -> None:
    """RETR sent ahead of the data connection gets it when it comes."""
    host, port = await setup.listen()
    waiting = Deferred.fromCoroutine(setup.open())
    caller = call((str(host), port))
    (await waiting).abort()
    caller.close()


async def test_without_a_set_up_there_is_no_connection(setup: DataSetup) -> None:
    """A transfer without PASV or PORT before it is told what to do."""
    assert not setup.is_set
    with pytest.raises(NoDataConnection, match="use PASV"):
        await setup.open()


async def test_a_connection_nobody_takes_is_cut_by_the_next_set_up(setup: DataSetup) -> None:
    """PASV twice leaves one data connection, not two."""
    host, port = await setup.listen()
    caller = call((str(host), port))
    await until(lambda: setup._ready)
    await setup.listen()
    with pytest.raises(ConnectionResetError):
        await received(caller)
    caller.close()
    setup.clear()


async def test_ipv6() -> None:
    """Passive and active mode work over IPv6 as well."""
    from twisted.internet import reactor

    pool = PassivePorts(reactor)
    local = IPv6Address("::1")
    setup = DataSetup(reactor, pool, local, local)
    _, port = await setup.listen()
    with socket.create_connection(("::1", port)):
        (await setup.open()).abort()
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as server:
        setup.call(Target(local, server.getsockname()[1]))
        (await setup.open()).abort()
    await pool.close()


# Active mode


async def test_active_mode_calls_the_client(setup: DataSetup) -> None:
    """The call comes when the transfer begins, from the address that the client knows."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        setup.call(Target(HOME, server.getsockname()[1]))
        assert setup.is_set
        connection = await setup.open()
        client, address = server.accept()
        assert address[0] == "127.0.0.1"
        assert not setup.is_set
        connection.abort()
        client.close()


async def test_active_mode_goes_nowhere_else(setup: DataSetup) -> None:
    """Neither another host nor a privileged port can be reached through this server (the bounce attack)."""
    with pytest.raises(RefusedTarget, match="not where this session comes from"):
        setup.call(Target(AWAY, 5000))
    with pytest.raises(RefusedTarget, match="below 1024"):
        setup.call(Target(HOME, 25))
    assert not setup.is_set


async def test_a_client_that_does_not_answer_the_call_is_told(setup: DataSetup) -> None:
    """A refused call is 425, with the reason."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    setup.call(Target(HOME, port))
    with pytest.raises(NoDataConnection, match=f"port {port}"):
        await setup.open()


# Sending


class Source:
    """A content of ``size`` bytes as INode's IReading gives it; notes how far it was read."""

    def __init__(self, size: int) -> None:
        self.left = size
        self.read_in_all = 0

    async def read(self, limit: int) -> bytes:
        data = b"x" * min(limit, self.left)
        self.left -= len(data)
        self.read_in_all += len(data)
        return data


async def test_all_is_sent_before_the_end(setup: DataSetup) -> None:
    """Every byte arrives, and the transfer ends only when they were handed on."""
    connection, caller = await opened(setup)
    sending = Deferred.fromCoroutine(connection.send(Source(3_000_000).read))
    assert len(await received(caller)) == 3_000_000
    await sending
    assert connection.moved == 3_000_000
    caller.close()


async def test_a_slow_client_holds_the_source_back(setup: DataSetup) -> None:
    """What a client does not take is not read either: memory is bounded per connection."""
    connection, caller = await opened(setup)
    source = Source(200_000_000)
    sending = Deferred.fromCoroutine(connection.send(source.read))
    await until(lambda: connection._writable is not None)
    before = source.read_in_all
    assert before < 20_000_000
    caller.close()
    with pytest.raises(DataLost):
        await sending


async def test_a_client_that_ends_its_direction_still_gets_all(setup: DataSetup) -> None:
    """netcat half-closes a data connection it only reads from."""
    connection, caller = await opened(setup)
    caller.shutdown(socket.SHUT_WR)
    sending = Deferred.fromCoroutine(connection.send(Source(1_000_000).read))
    assert len(await received(caller)) == 1_000_000
    await sending
    caller.close()


async def test_a_content_that_cannot_be_read_on_cuts_the_connection(setup: DataSetup) -> None:
    """The client must not take what came so far for the whole file."""
    connection, caller = await opened(setup)

    async def read(limit: int) -> bytes:
        if connection.moved:
            raise StorageFull("broken")
        return b"x" * 10

    with pytest.raises(StorageFull):
        await connection.send(read)
    with pytest.raises(ConnectionResetError):
        await received(caller)
    caller.close()


# Receiving


class Basin:
    """A sink that keeps what came and can be full for a while."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.wait: Deferred[None] | None = None

    def write(self, data: bytes) -> Deferred[None] | None:
        self.data += data
        return self.wait


async def test_nothing_is_read_before_the_transfer(setup: DataSetup) -> None:
    """What a client sends ahead of its STOR waits in the kernel, and is taken then."""
    connection, caller = await opened(setup)
    caller.send(b"early")
    caller.close()
    basin = Basin()
    assert connection.moved == 0
    await connection.receive(basin)
    assert bytes(basin.data) == b"early"


async def test_a_full_sink_stops_the_reading(setup: DataSetup) -> None:
    """Back-pressure reaches the client; nothing is lost."""
    connection, caller = await opened(setup)
    basin = Basin()
    basin.wait = Deferred()
    receiving = Deferred.fromCoroutine(connection.receive(basin))
    sent = 0

    def fill() -> bool:
        nonlocal sent
        try:
            sent += caller.send(b"y" * 65536)
        except BlockingIOError:
            return sent > 100_000
        return False

    await until(fill)
    assert len(basin.data) <= 1 << 18
    wait, basin.wait = basin.wait, None
    wait.callback(None)
    await until(lambda: len(basin.data) == sent)
    caller.close()
    await receiving
    assert len(basin.data) == sent


async def test_a_reset_is_no_end(setup: DataSetup) -> None:
    """A connection that breaks did not bring a whole file."""
    connection, caller = await opened(setup)
    receiving = Deferred.fromCoroutine(connection.receive(Basin()))
    caller.send(b"part")
    await until(lambda: connection.moved)
    caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    caller.close()
    with pytest.raises(DataLost) as caught:
        await receiving
    assert caught.value.ftp == 426


async def test_a_sink_that_fails_ends_the_transfer(setup: DataSetup) -> None:
    """A full disk is told as what it is."""
    connection, caller = await opened(setup)
    basin = Basin()
    basin.wait = Deferred()
    receiving = Deferred.fromCoroutine(connection.receive(basin))
    caller.send(b"part")
    await until(lambda: connection.moved)
    basin.wait.errback(StorageFull("no space"))
    with pytest.raises(StorageFull):
        await receiving
    caller.close()


async def test_a_transfer_that_does_not_move_is_given_up(setup: DataSetup) -> None:
    """A client that takes nothing, or sends nothing, is not waited for longer than the limit; a slow store is."""
    clock = task.Clock()
    connection, caller = await opened(setup)
    connection.watch(clock, 30)
    basin = Basin()
    receiving = Deferred.fromCoroutine(connection.receive(basin))
    caller.send(b"x")
    await until(lambda: connection.moved)
    clock.advance(30)
    basin.wait = Deferred()
    caller.send(b"x")
    await until(lambda: connection.moved == 2)
    clock.advance(90)
    basin.wait.callback(None)
    clock.advance(30)
    clock.advance(30)
    with pytest.raises(DataLost, match="nothing moved for 30 seconds"):
        await receiving
    caller.close()
    assert not clock.getDelayedCalls()


async def test_a_client_that_takes_nothing_is_given_up(setup: DataSetup) -> None:
    """The same limit holds for downloads."""
    clock = task.Clock()
    connection, caller = await opened(setup)
    connection.watch(clock, 30)
    sending = Deferred.fromCoroutine(connection.send(Source(200_000_000).read))
    await until(lambda: connection._writable is not None)
    clock.advance(30)
    clock.advance(30)
    with pytest.raises(DataLost, match="nothing moved"):
        await sending
    caller.close()
