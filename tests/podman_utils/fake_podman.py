"""Podman's REST API as podman_utils uses it, in memory, behind a real socket: what is made, started and removed is seen.

Names, addresses, labels and states behave as those of Podman 4.3 do; nothing runs. Commands in containers are answered by
``answers``; by default ``tagfs nodes`` tells that every running node is alive.
"""

from __future__ import annotations

import ipaddress
import json
import re
import socket
import socketserver
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

Answer = tuple[int, str, str]


class Refusal(Exception):
    """An answer that is an error: status and message."""

    def __init__(self, status: int, message: str) -> None:
        self.status, self.message = status, message


class FakePodman:
    """The engine. ``requests`` lists all that changed something, as ``METHOD path``."""

    def __init__(self, folder: Path, version: str = "4.3.1") -> None:
        self.version = version
        self.images: dict[str, str] = {}
        self.builds: list[dict[str, Any]] = []
        self.networks: dict[str, dict[str, Any]] = {}
        self.volumes: dict[str, dict[str, Any]] = {}
        self.secrets: dict[str, bytes] = {}
        self.containers: dict[str, dict[str, Any]] = {}
        self.requests: list[str] = []
        self.executed: list[tuple[str, list[str], list[str]]] = []
        self.answers: list[Callable[[str, list[str]], Answer | None]] = []
        self.rules: list[tuple[str, str]] = []
        self.ill: set[str] = set()
        self.slow: list[str] = []
        """Containers whose next health check takes too long, once per mention."""
        self.host = {"cgroupVersion": "v1", "security": {"rootless": False}}
        self.needs_another = False
        """Whether a node is ill as long as no other one runs: so it is where the others know what it does not."""
        self.lost_logs = False
        self.broken_lines: set[str] = set()
        """Containers whose last line was written in pieces: Podman 4.3 gives nothing of it where it is asked for the last lines."""
        self.unreachable = False
        """Whether there is no registry, so that only builds with a BASE that is here work."""
        self._sessions: dict[str, tuple[str, list[str], int]] = {}
        self._numbers = iter(range(1, 1 << 20))
        self.path = folder / "podman.sock"
        fake = self

        class Door(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            do_GET = do_POST = do_DELETE = lambda self: fake._serve(self)

            def log_message(self, *arguments: object) -> None:
                pass

            def address_string(self) -> str:
                return "unix"

        class Server(socketserver.ThreadingUnixStreamServer):
            daemon_threads = False  # so that server_close waits for them

            def process_request(self, request: Any, client_address: Any) -> None:
                fake._connections.append(request)
                super().process_request(request, client_address)

        self._connections: list[socket.socket] = []
        self._server = Server(str(self.path), Door)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"unix://{self.path}"

    def close(self) -> None:
        self._server.shutdown()
        for connection in self._connections:
            with suppress(OSError):  # most are closed
                connection.shutdown(socket.SHUT_RDWR)
        self._server.server_close()
        self._thread.join()

    # HTTP

    def _serve(self, door: BaseHTTPRequestHandler) -> None:
        split = urlsplit(door.path)
        path = unquote(re.sub(r"^/v[0-9.]+(/libpod)?", "", split.path))
        query = {key: values[-1] for key, values in parse_qs(split.query).items()}
        body = self._body(door)
        if door.command != "GET":
            names = {each["Id"]: each["Name"] for each in self.containers.values()}
            self.requests.append(f"{door.command} " + "/".join(names.get(part, part) for part in path.split("/")))
        try:
            status, answer = self._answer(door.command, path, query, body)
        except Refusal as refusal:
            status = refusal.status
            answer = {"cause": refusal.message, "message": refusal.message, "response": status}
        data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        door.send_response(status)
        door.send_header("Content-Type", "application/json")
        if status not in (204, 304):
            door.send_header("Content-Length", str(len(data)))
        door.end_headers()
        if status not in (204, 304):
            door.wfile.write(data)

    @staticmethod
    def _body(door: BaseHTTPRequestHandler) -> bytes:
        if "chunked" not in (door.headers.get("Transfer-Encoding") or ""):
            return door.rfile.read(int(door.headers.get("Content-Length") or 0))
        parts = []
        while size := int(door.rfile.readline(), 16):
            parts.append(door.rfile.read(size))
            door.rfile.readline()
        door.rfile.readline()
        return b"".join(parts)

    def _answer(self, method: str, path: str, query: dict[str, str], body: bytes) -> tuple[int, Any]:
        for wanted, pattern, do in self._routes():
            found = re.fullmatch(pattern, path)
            if method == wanted and found:
                return do(*found.groups(), query=query, body=body)
        raise Refusal(404, f"the fake has no {method} {path}")

    def _routes(self) -> list[tuple[str, str, Callable[..., tuple[int, Any]]]]:
        return [
            ("GET", r"/version", self._version),
            ("GET", r"/info", lambda **_: (200, {"host": self.host})),
            ("GET", r"/images/(.+)/exists", lambda name, **_: self._exists(_tagged(name) in self.images)),
            ("GET", r"/images/(.+)/json", self._image),
            ("POST", r"/images/import", self._import),
            ("POST", r"/build", self._build),
            ("GET", r"/networks/json", lambda query, **_: (200, _labelled(self.networks.values(), "labels", query))),
            ("GET", r"/networks/([^/]+)/exists", lambda name, **_: self._exists(name in self.networks)),
            ("GET", r"/networks/([^/]+)", lambda name, **_: (200, _found(self.networks, name, "network"))),
            ("POST", r"/networks/create", self._create_network),
            ("DELETE", r"/networks/([^/]+)", self._remove_network),
            ("GET", r"/volumes/json", lambda query, **_: (200, _labelled(self.volumes.values(), "Labels", query))),
            ("GET", r"/volumes/([^/]+)/exists", lambda name, **_: self._exists(name in self.volumes)),
            ("POST", r"/volumes/create", self._create_volume),
            ("DELETE", r"/volumes/([^/]+)", self._remove_volume),
            ("GET", r"/secrets/([^/]+)/json", self._secret),
            ("POST", r"/secrets/create", self._create_secret),
            ("DELETE", r"/secrets/([^/]+)", lambda name, **_: (204, self.secrets.pop(name) and None)),
            ("GET", r"/containers/json", self._list_containers),
            ("POST", r"/containers/create", self._create_container),
            ("GET", r"/containers/([^/]+)/json", lambda name, **_: (200, self._container(name))),
            ("GET", r"/containers/([^/]+)/healthcheck", self._check_health),
            ("GET", r"/containers/([^/]+)/logs", self._logs),
            ("POST", r"/containers/([^/]+)/exec", self._exec),
            ("POST", r"/exec/([^/]+)/start", self._exec_start),
            ("GET", r"/exec/([^/]+)/json", lambda name, **_: (200, {"ExitCode": self._sessions[name][2]})),
            ("POST", r"/containers/([^/]+)/(start|stop|kill|pause|unpause)", self._change),
            ("DELETE", r"/containers/([^/]+)", self._remove_container),
        ]

    @staticmethod
    def _exists(is_there: bool) -> tuple[int, Any]:
        return (204, None) if is_there else (404, {"cause": "no such", "message": "no such"})

    def _version(self, **_: Any) -> tuple[int, Any]:
        # As Podman does: at the top, the version of Docker's API.
        engine = {"Name": "Podman Engine", "Version": self.version, "Details": {"APIVersion": self.version}}
        return 200, {"ApiVersion": "1.41", "Version": self.version, "Components": [engine]}

    # Images

    def add_image(self, name: str) -> str:
        number = f"{next(self._numbers):064x}"
        self.images[_tagged(name)] = number
        return number

    def _image(self, name: str, **_: Any) -> tuple[int, Any]:
        return 200, {"Id": _found(self.images, _tagged(name), "image")}

    def _import(self, query: dict[str, str], body: bytes) -> tuple[int, Any]:
        assert body
        return 200, {"Id": "sha256:" + self.add_image(query["reference"])}

    def _build(self, query: dict[str, str], body: bytes) -> tuple[int, Any]:
        self.builds.append({**query, "context": body})
        base = json.loads(query.get("buildargs", "{}")).get("BASE")
        if not base and self.unreachable:
            told = [{"error": "the base cannot be pulled"}]
        elif base and _tagged(base) not in self.images:
            told = [{"stream": "STEP 1: FROM\n"}, {"error": f"{base}: image not known"}]
        else:
            told = [{"stream": "STEP 1: FROM\n"}, {"stream": self.add_image(query["t"]) + "\n"}]
        return 200, b"".join(json.dumps(each).encode() + b"\n" for each in told)

    # Networks, volumes, secrets

    def _create_network(self, query: dict[str, str], body: bytes) -> tuple[int, Any]:
        told = json.loads(body)
        if told["name"] in self.networks:
            raise Refusal(409, f"network name {told['name']} already used: network already exists")
        subnets = told.get("subnets") or [{"subnet": f"10.200.{len(self.networks)}.0/24"}]
        for other in self.networks.values():
            if ipaddress.ip_network(other["subnets"][0]["subnet"]).overlaps(ipaddress.ip_network(subnets[0]["subnet"])):
                raise Refusal(500, f"subnet {subnets[0]['subnet']} is already used on the host or by another config")
        self.networks[told["name"]] = {**told, "subnets": subnets, "labels": told.get("labels") or {}}
        return 200, self.networks[told["name"]]

    def _remove_network(self, name: str, **_: Any) -> tuple[int, Any]:
        _found(self.networks, name, "network")
        if any(name in each["networks"] for each in self.containers.values()):
            raise Refusal(409, f"{name} has associated containers with it: network is being used")
        del self.networks[name]
        return 200, []

    def _create_volume(self, query: dict[str, str], body: bytes) -> tuple[int, Any]:
        told = json.loads(body)
        self.volumes[told["Name"]] = {"Name": told["Name"], "Labels": told.get("Labels") or {}}
        return 201, self.volumes[told["Name"]]

    def _remove_volume(self, name: str, **_: Any) -> tuple[int, Any]:
        if any(name in each["volumes"] for each in self.containers.values()):
            raise Refusal(409, f"volume {name} is being used by a container")
        del self.volumes[name]
        return 204, None

    def _secret(self, name: str, **_: Any) -> tuple[int, Any]:
        _found(self.secrets, name, "secret")
        return 200, {"ID": name, "Spec": {"Name": name}}

    def _create_secret(self, query: dict[str, str], body: bytes) -> tuple[int, Any]:
        self.secrets[query["name"]] = body
        return 201, {"ID": query["name"]}

    # Containers

    def _container(self, name: str) -> dict[str, Any]:
        for each in self.containers.values():
            if name in (each["Name"], each["Id"]):
                return each
        raise Refusal(404, f'no container with name or ID "{name}" found: no such container')

    def _list_containers(self, query: dict[str, str], **_: Any) -> tuple[int, Any]:
        found = [{**each, "Labels": each["Config"]["Labels"]} for each in self.containers.values()]
        return 200, _labelled(found, "Labels", query)

    def _create_container(self, query: dict[str, str], body: bytes) -> tuple[int, Any]:
        told = json.loads(body)
        if told["name"] in self.containers:
            raise Refusal(500, f'the container name "{told["name"]}" is already in use')
        image = _found(self.images, _tagged(told["image"]), "image")
        for secret in told.get("secrets") or []:
            _found(self.secrets, secret["source"], "secret")
        interfaces = {}
        for network, wish in told["networks"].items():
            _found(self.networks, network, "network")
            interfaces[network] = {"IPAddress": (wish.get("static_ips") or ["10.200.0.9"])[0]}
        number = f"{next(self._numbers):064x}"
        self.containers[told["name"]] = {
            "Id": number,
            "Name": told["name"],
            "Image": image,
            "State": {"Status": "created"},
            "Config": {"Labels": told["labels"], "Env": [f"{k}={v}" for k, v in (told.get("env") or {}).items()]},
            "NetworkSettings": {"Networks": interfaces, "Ports": self._publish(told.get("portmappings") or [])},
            "networks": list(told["networks"]),
            "volumes": [each["Name"] for each in told.get("volumes") or []],
            "told": told,
        }
        return 201, {"Id": number, "Warnings": []}

    def _publish(self, wishes: list[dict[str, Any]]) -> dict[str, Any]:
        """A free port of the host where none is asked for."""
        return {
            f"{each['container_port']}/tcp": [
                {
                    "HostIp": each.get("host_ip", ""),
                    "HostPort": str(each.get("host_port") or 40000 + next(self._numbers)),
                }
            ]
            for each in wishes
        } | {"4747/udp": None}

    def _change(self, name: str, verb: str, **_: Any) -> tuple[int, Any]:
        state = self._container(name)["State"]
        before = state["Status"]
        allowed = {"kill": ["running"], "pause": ["running"], "unpause": ["paused"]}.get(verb)
        if allowed is not None and before not in allowed:
            raise Refusal(409, f"{verb}: container state improper")
        state["Status"] = {"start": "running", "unpause": "running", "pause": "paused"}.get(verb, "exited")
        return (304 if before == state["Status"] else 204), None

    def _remove_container(self, name: str, **_: Any) -> tuple[int, Any]:
        del self.containers[self._container(name)["Name"]]
        return 200, []

    def _check_health(self, name: str, **_: Any) -> tuple[int, Any]:
        found = self._container(name)
        if found["State"]["Status"] != "running":
            raise Refusal(409, f"container {name} is not running")
        if found["Name"] in self.slow:
            self.slow.remove(found["Name"])
            raise Refusal(500, "healthcheck command exceeded timeout of 5s")
        running = [
            each for each in self.containers.values() if each["State"]["Status"] == "running" and each["volumes"]
        ]
        is_alone = running == [found]
        is_ill = found["Name"] in self.ill or (self.needs_another and is_alone)
        found["State"]["Health"] = {"Log": [{"ExitCode": int(is_ill), "Output": "no answer" if is_ill else "well"}]}
        return 200, {"Status": "starting", "FailingStreak": 0, "Log": None}

    def _logs(self, name: str, query: dict[str, str], **_: Any) -> tuple[int, Any]:
        if self.lost_logs:
            raise Refusal(500, "it is gone")
        if name in self.broken_lines and "tail" in query:
            return 200, _frame(2, b"\n")
        return 200, _frame(1, f"{self._container(name)['Name']} is up\n".encode())

    def _exec(self, name: str, body: bytes, **_: Any) -> tuple[int, Any]:
        found = self._container(name)
        if found["State"]["Status"] != "running":
            raise Refusal(409, "can only create exec sessions on running containers: container state improper")
        told = json.loads(body)
        self.executed.append((found["Name"], told["Cmd"], told["Env"] or []))
        session = f"session{next(self._numbers)}"
        self._sessions[session] = (found["Name"], told["Cmd"], 0)
        return 201, {"Id": session}

    def _exec_start(self, session: str, **_: Any) -> tuple[int, Any]:
        name, command, _code = self._sessions[session]
        answers = (do(name, command) for do in [*self.answers, self._as_router, self._as_node])
        code, out, err = next((answer for answer in answers if answer is not None), (127, "", "not found\n"))
        self._sessions[session] = (name, command, code)
        return 200, (_frame(1, out.encode()) if out else b"") + (_frame(2, err.encode()) if err else b"")

    def _as_node(self, name: str, command: list[str]) -> Answer | None:
        if "owed_contents" in command[-1]:
            return 0, "0\n", ""
        if command[-1] != "nodes":
            return None
        running = [each for each in self.containers.values() if each["Config"]["Labels"].get("tagfs.role") == "node"]
        told = [
            {"id": "id-" + each["Config"]["Labels"]["tagfs.member"], "name": each["Config"]["Labels"]["tagfs.member"],
             "state": "alive" if each["State"]["Status"] == "running" else "dead"}
            for each in running
        ]  # fmt: skip
        return 0, json.dumps(told), ""

    def _as_router(self, name: str, command: list[str]) -> Answer | None:
        """The kernel's rules, in the words of busybox."""
        if command[:2] != ["ip", "rule"]:
            return None
        if command[2] == "add":
            self.rules.append((command[4], command[6]))
        elif command[2] == "del":
            self.rules.remove((command[4], command[6]))
        lines = [f"32765:\tfrom {a} to {b} lookup main blackhole" for a, b in self.rules]
        return 0, "\n".join(["0:\tfrom all lookup local", *lines, "32766:\tfrom all lookup main", ""]), ""


def _tagged(name: str) -> str:
    return name if ":" in name.rpartition("/")[2] else f"{name}:latest"


def _found(things: dict[str, Any], name: str, kind: str) -> Any:
    if name not in things:
        raise Refusal(404, f"{name}: {kind} not known")
    return things[name]


def _labelled(things: Any, key: str, query: dict[str, str]) -> list[Any]:
    wanted = json.loads(query.get("filters") or "{}").get("label", [])
    pairs = [each.partition("=") for each in wanted]
    return [
        each
        for each in things
        if all(name in each[key] and (not equals or each[key][name] == value) for name, equals, value in pairs)
    ]


def _frame(stream: int, data: bytes) -> bytes:
    return struct.pack(">BxxxL", stream, len(data)) + data
