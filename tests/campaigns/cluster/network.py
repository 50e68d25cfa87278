"""Networks of this machine's own: namespaces with two segments and a router, or one per node around a switch. Need root and ip(8).

Everything is made and removed here; no packet leaves the machine.
"""

from __future__ import annotations

import secrets
import shutil
import subprocess
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

IP = shutil.which("ip") or "/sbin/ip"
IPTABLES = shutil.which("iptables") or "/sbin/iptables"


def ip(*words: str, check: bool = True) -> None:
    """Runs ip(8)."""
    subprocess.run([IP, *words], check=check, capture_output=True, timeout=20)


@contextmanager
def inside(namespace: str) -> Iterator[None]:
    """Runs a few lines of this process in a network namespace (setns(2)); sockets made there stay in it."""
    if not namespace:
        yield
        return
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    with open("/proc/thread-self/ns/net") as home, open(f"/var/run/netns/{namespace}") as there:
        if libc.setns(there.fileno(), 0x40000000):
            raise OSError(ctypes.get_errno(), "setns")
        try:
            yield
        finally:
            assert libc.setns(home.fileno(), 0x40000000) == 0


class Segments:
    """Two network segments as namespaces, and a router namespace between them. Needs root and ip(8).

    Nodes get addresses ``10.91.1.x`` in the segment ``a`` and ``10.91.2.x`` in ``b``; multicast does not cross.
    """

    def __init__(self) -> None:
        tag = secrets.token_hex(3)
        self.a, self.b, self.router = f"tg{tag}a", f"tg{tag}b", f"tg{tag}r"
        try:
            for name in (self.a, self.b, self.router):
                ip("netns", "add", name)
                ip("-n", name, "link", "set", "lo", "up")
            for number, name in ((1, self.a), (2, self.b)):
                near, far = f"v{tag}{number}", f"r{tag}{number}"
                ip("link", "add", near, "netns", name, "type", "veth", "peer", "name", far, "netns", self.router)
                ip("-n", name, "link", "set", near, "up")
                ip("-n", self.router, "link", "set", far, "up")
                ip("-n", self.router, "addr", "add", f"10.91.{number}.1/24", "dev", far)
                for host in range(11, 15):
                    ip("-n", name, "addr", "add", f"10.91.{number}.{host}/24", "dev", near)
                ip("-n", name, "route", "add", "default", "via", f"10.91.{number}.1")
            self.forward(True)
        except BaseException:
            self.remove()
            raise

    def forward(self, on: bool) -> None:
        """Switches the router on or off; off, packets vanish without a word."""
        with inside(self.router):
            Path("/proc/sys/net/ipv4/ip_forward").write_text("1" if on else "0")

    def bytes_of(self, name: str) -> int:
        """Bytes that the interfaces of a segment sent and received so far, but loopback."""
        with inside(name):
            text = Path("/proc/thread-self/net/dev").read_text()
        rows = [line.split(":", 1) for line in text.splitlines() if ":" in line]
        return sum(int(figures.split()[0]) + int(figures.split()[8]) for name, figures in rows if name.strip() != "lo")

    def remove(self) -> None:
        for name in (self.a, self.b, self.router):
            ip("netns", "del", name, check=False)


class Switch:
    """One network with a namespace per node: ``10.92.0.11`` and up. Any traffic between nodes can be cut, in one direction too."""

    def __init__(self, nodes: int) -> None:
        self._tag = secrets.token_hex(3)
        self.name = f"tg{self._tag}s"
        self.namespaces = [f"tg{self._tag}{number}" for number in range(nodes)]
        try:
            self._make()
        except BaseException:
            self.remove()
            raise

    def _make(self) -> None:
        ip("netns", "add", self.name)
        ip("-n", self.name, "link", "add", "br0", "type", "bridge")
        ip("-n", self.name, "link", "set", "br0", "up")
        for number, name in enumerate(self.namespaces):
            near, far = f"v{self._tag}{number}", f"s{self._tag}{number}"
            ip("netns", "add", name)
            ip("link", "add", near, "netns", name, "type", "veth", "peer", "name", far, "netns", self.name)
            ip("-n", self.name, "link", "set", far, "master", "br0", "up")
            ip("-n", name, "addr", "add", f"{self.address(number)}/24", "broadcast", "+", "dev", near)
            ip("-n", name, "link", "set", near, "up")
            ip("-n", name, "link", "set", "lo", "up")

    @staticmethod
    def address(number: int) -> str:
        """Where a node is."""
        return f"10.92.0.{11 + number}"

    def cut(self, deaf: Collection[int], silenced: Collection[int]) -> None:
        """What the nodes ``silenced`` send does not arrive at the nodes ``deaf`` any more."""
        for number in deaf:
            for other in silenced:
                if number != other:
                    self._iptables(number, "-A", "INPUT", "-s", self.address(other), "-j", "DROP")

    def part(self, left: Collection[int], right: Collection[int]) -> None:
        """Nothing passes between the two groups."""
        self.cut(left, right)
        self.cut(right, left)

    def heal(self) -> None:
        """Everything passes again."""
        for number in range(len(self.namespaces)):
            self._iptables(number, "-F", "INPUT")

    def _iptables(self, number: int, *words: str) -> None:
        subprocess.run(
            [IP, "netns", "exec", self.namespaces[number], IPTABLES, "-w", *words],
            check=True,
            capture_output=True,
            timeout=20,
        )

    def remove(self) -> None:
        """Takes everything away again."""
        for name in (*self.namespaces, self.name):
            ip("netns", "del", name, check=False)
