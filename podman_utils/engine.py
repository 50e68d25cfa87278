"""Every call of the engine: Podman's REST API by podman-py. docs/tools/podman.md maps each to docker-py."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

import requests.exceptions
from podman import PodmanClient
from podman.errors import APIError, BuildError, NotFound, PodmanError

from podman_utils.errors import EngineFault, NotThere, Taken
from podman_utils.values import Container, ContainerRequest, Network, Outcome, Port

OLDEST_API = (4, 0)
"""Networks by netavark, with fixed addresses; Debian 12 has 4.3."""
TIMEOUT_S = 900
"""Above the longest single call, which is a build on a slow machine."""
SERVICE_USER = 1000
"""Who reads the secrets: the user of distributed_python.dockerfile."""
DOCKER_FORMAT = "application/vnd.docker.distribution.manifest.v2+json"
"""The format of images that knows health checks; OCI's does not."""
_CPU_PERIOD_US = 100_000


def default_socket(environ: Mapping[str, str] = os.environ, uid: int | None = None) -> str:
    """Where Podman listens: CONTAINER_HOST, else root's socket or that of the user."""
    if environ.get("CONTAINER_HOST"):
        return environ["CONTAINER_HOST"]
    uid = os.getuid() if uid is None else uid
    if uid == 0:
        return "unix:///run/podman/podman.sock"
    return f"unix://{environ.get('XDG_RUNTIME_DIR') or f'/run/user/{uid}'}/podman/podman.sock"


class Engine:
    """A connection to Podman at ``url`` (unix://…, tcp://…, ssh://…). Every method raises EngineFault, and NotThere or Taken
    where it is that."""

    def __init__(self, url: str) -> None:
        self.url = url if "://" in url else f"unix://{Path(url).absolute()}"
        self._check_socket()
        try:
            self._client = PodmanClient(base_url=self.url, timeout=TIMEOUT_S)
        except (ValueError, PodmanError) as error:
            raise EngineFault(f"{url} is no address of a Podman socket: {error}") from error
        try:
            self.version = self._check_version()
        except EngineFault:
            self.close()
            raise

    def close(self) -> None:
        self._client.close()

    def _check_socket(self) -> None:
        """Looks whether somebody listens, since the library's own message names neither the place nor the reason."""
        scheme, _, path = self.url.partition("://")
        if not scheme.endswith("unix"):
            return
        try:
            with socket.socket(socket.AF_UNIX) as trial:
                trial.connect(path)
        except FileNotFoundError:
            raise EngineFault(
                f"there is no Podman socket at {path}. As root: systemctl enable --now podman.socket; as a user: systemctl "
                f"--user enable --now podman.socket; without systemd: podman system service --time=0 unix://{path} &. "
                "--socket names another"
            ) from None
        except PermissionError:
            raise EngineFault(
                f"Podman's socket at {path} is another user's; without --socket and CONTAINER_HOST it is your own, "
                f"{default_socket({})}"
            ) from None
        except OSError as error:
            raise EngineFault(f"Podman at {self.url} cannot be reached: {error.strerror}") from error

    def _check_version(self) -> str:
        with self._telling("ask its version"):
            told = self._client.version()
        version = str(told.get("ApiVersion") or told.get("Version") or "0")
        for part in told.get("Components") or ():
            if part.get("Name") == "Podman Engine":  # at the top stands the version of Docker's API
                version = str(part.get("Details", {}).get("APIVersion") or part.get("Version") or version)
        numbers = tuple(int(number) for number in version.split("-")[0].split(".")[:2] if number.isdigit())
        if numbers < OLDEST_API:
            raise EngineFault(f"the engine at {self.url} speaks version {version}; this needs Podman 4.0 or later")
        return version

    @contextmanager
    def _telling(self, doing: str) -> Iterator[None]:
        """Faults of the library as faults of ours. ``doing`` goes on from "Podman could not"."""
        try:
            yield
        except NotFound as error:
            raise NotThere(f"Podman could not {doing}: {_reason(error)}") from error
        except APIError as error:
            if error.response is None:
                why = error.__cause__ or error.__context__ or _reason(error)
                raise EngineFault(f"Podman at {self.url} cannot be reached: {why}") from error
            reason = _reason(error)
            taken = ("already", "in use", "being used", "conflict", "proxy already running", "address already")
            kind = Taken if any(word in reason.lower() for word in taken) else EngineFault
            raise kind(f"Podman could not {doing}: {reason}") from error
        except requests.exceptions.ReadTimeout as error:
            raise EngineFault(f"Podman did not {doing} within {TIMEOUT_S} s") from error
        except requests.exceptions.RequestException as error:
            raise EngineFault(f"Podman at {self.url} cannot be reached: {error}") from error
        except (PodmanError, ValueError) as error:
            raise EngineFault(f"Podman could not {doing}: {error}") from error

    # Images

    def image_id(self, name: str) -> str | None:
        """The id of an image that is here, or None. Pulls nothing."""
        with self._telling(f"look for the image {name}"):
            if not self._client.images.exists(name):
                return None
            return str(self._client.images.get(name).id).removeprefix("sha256:")

    def build(
        self, dockerfile: str, context: IO[bytes], name: str, arguments: Mapping[str, str], labels: Mapping[str, str]
    ) -> Iterator[str]:
        """Builds an image from a tar of its context; yields what the build says. Raises EngineFault where a step fails."""
        parameters = {
            "dockerfile": dockerfile,
            "t": name,
            "buildargs": json.dumps(dict(arguments)),
            "labels": json.dumps(dict(labels)),
            "layers": True,
            "outputformat": DOCKER_FORMAT,
        }
        # The library's own build says nothing until all is done.
        with self._telling(f"build {name}"):
            answer = self._client.api.post(
                "/build", params=parameters, data=context, headers={"Content-type": "application/x-tar"}, stream=True
            )
            answer.raise_for_status()
            said = ""
            for line in answer.iter_lines():
                told = json.loads(line)
                if "error" in told:
                    raise BuildError(f"{told['error']}. It said: {said.strip()}", ())
                text = str(told.get("stream", ""))
                said = (said + text)[-2000:]
                yield text
        if self.image_id(name) is None:
            raise EngineFault(f"Podman could not build {name}: it stopped early. It said: {said.strip()}")

    def import_image(self, archive: IO[bytes], name: str) -> str:
        """Makes an image of one layer out of a tar of its files; gives its id."""
        with self._telling(f"import {name}"):
            answer = self._client.api.post(
                "/images/import",
                params={"reference": name},
                data=archive,
                headers={"Content-type": "application/x-tar"},
            )
            answer.raise_for_status()
            return str(answer.json()["Id"])

    # Networks

    def networks(self, label: str) -> list[Network]:
        """The networks with a label (``key`` or ``key=value``)."""
        with self._telling("list networks"):
            return [_network(each.attrs) for each in self._client.networks.list(filters={"label": label})]

    def network(self, name: str) -> Network | None:
        with self._telling(f"look for the network {name}"):
            if not self._client.networks.exists(name):
                return None
            return _network(self._client.networks.get(name).attrs)

    def subnets(self) -> list[str]:
        """The subnets of all networks of the engine."""
        with self._telling("list networks"):
            return [subnet for each in self._client.networks.list() if (subnet := _network(each.attrs).subnet)]

    def create_network(self, name: str, subnet: str | None, labels: Mapping[str, str], *, internal: bool) -> None:
        """Makes a bridge. An internal one has no way out; another one is kept apart from its like (``isolate``)."""
        with self._telling(f"make the network {name} ({subnet or 'any subnet'})"):
            self._client.networks.create(
                name,
                driver="bridge",
                internal=internal,
                dns_enabled=True,  # without it, containers do not find each other by name
                labels=dict(labels),
                subnets=[{"subnet": subnet}] if subnet else None,
                options=None if internal else {"isolate": "true"},
            )

    def remove_network(self, name: str) -> None:
        with self._telling(f"remove the network {name}"):
            self._client.networks.remove(name)

    # Volumes and secrets

    def volumes(self, label: str) -> list[str]:
        """The names of the volumes with a label."""
        with self._telling("list volumes"):
            return sorted(str(each.name) for each in self._client.volumes.list(filters={"label": label}))

    def ensure_volume(self, name: str, labels: Mapping[str, str]) -> None:
        with self._telling(f"make the volume {name}"):
            if not self._client.volumes.exists(name):
                self._client.volumes.create(name, labels=dict(labels))

    def remove_volume(self, name: str) -> None:
        with self._telling(f"remove the volume {name}"):
            self._client.volumes.remove(name)

    def has_secret(self, name: str) -> bool:
        with self._telling(f"look for the secret {name}"):
            return bool(self._client.secrets.exists(name))

    def create_secret(self, name: str, data: bytes) -> None:
        with self._telling(f"make the secret {name}"):
            self._client.secrets.create(name, data)

    def remove_secret(self, name: str) -> None:
        with self._telling(f"remove the secret {name}"):
            self._client.secrets.remove(name)

    # Containers

    def containers(self, label: str) -> list[Container]:
        """The containers with a label, whatever their state, by name."""
        with self._telling("list containers"):
            found = self._client.containers.list(all=True, sparse=True, filters={"label": label})
        looked_at = (self.container(str(each.attrs["Id"])) for each in found)
        return sorted((each for each in looked_at if each), key=lambda each: each.name)

    def container(self, name: str) -> Container | None:
        """A container by name or id; None where there is none."""
        with self._telling(f"look at the container {name}"):
            try:
                return _container(self._client.containers.get(name).attrs)
            except NotFound:
                return None

    def create_container(self, wanted: ContainerRequest) -> None:
        """Makes a container; it is not started. It has no capability but those asked for."""
        with self._telling(f"make the container {wanted.name}"):
            self._client.containers.create(wanted.image, **_creation(wanted))

    def start(self, name: str) -> None:
        """Starts a container; no fault where it runs already."""
        with self._telling(f"start {name}"):
            self._client.containers.get(name).start()

    def stop(self, name: str, seconds: int) -> None:
        """SIGTERM, and SIGKILL after so many seconds; no fault where it does not run."""
        with self._telling(f"stop {name}"):
            self._client.api.post(
                f"/containers/{name}/stop", params={"timeout": seconds, "ignore": True}
            ).raise_for_status()

    def kill(self, name: str) -> None:
        with self._telling(f"kill {name}"):
            self._client.containers.get(name).kill("SIGKILL")

    def ignores_limits(self) -> bool:
        """Whether containers get no limits of memory and processors: a user's have no control group where those are of version 1."""
        with self._telling("tell what it can"):
            host = self._client.info()["host"]
        return bool(host["security"]["rootless"]) and host["cgroupVersion"] == "v1"

    def pause(self, name: str) -> None:
        with self._telling(f"pause {name}"):
            self._client.containers.get(name).pause()

    def unpause(self, name: str) -> None:
        with self._telling(f"resume {name}"):
            self._client.containers.get(name).unpause()

    def remove_container(self, name: str) -> None:
        """Removes a container, running or not, and the volumes without a name that it made."""
        with self._telling(f"remove {name}"):
            self._client.containers.remove(name, force=True, v=True)

    def execute(self, name: str, command: Sequence[str], environment: Mapping[str, str] | None = None) -> Outcome:
        """Runs a command in a running container to its end."""
        with self._telling(f"run a command in {name}"):
            code, (out, err) = self._client.containers.get(name).exec_run(
                list(command), environment=dict(environment or {}), demux=True
            )
        return Outcome(int(code), (out or b"").decode(errors="replace"), (err or b"").decode(errors="replace"))

    def logs(self, name: str, *, follow: bool, tail: int | None) -> Iterator[bytes]:
        """What a container printed, in pieces; with ``follow``, until it stops."""
        with self._telling(f"read the log of {name}"):
            container = self._client.containers.get(name)
            yield from container.logs(stream=True, follow=follow, tail=tail)

    def check_health(self, name: str) -> tuple[bool, str]:
        """Runs the health check of a container now; whether it passed, and what it said. (True, "") where it has none.

        The engine itself runs it by timers of systemd, which not every machine has.
        """
        with self._telling(f"check the health of {name}"):
            answer = self._client.api.get(f"/containers/{quote(name, safe='')}/healthcheck")
            if answer.status_code in (409, 500) and "no defined healthcheck" in answer.text:
                return True, ""
            if answer.status_code == 409:
                return False, "it does not run"
            if (
                answer.status_code == 500 and "exceeded timeout" in answer.text
            ):  # a busy machine; it may be well all the same
                return False, "the check took too long"
            answer.raise_for_status()
            # The answer itself has no log before Podman 4.4, and its status lags behind the last run.
            state = self._client.containers.get(name).attrs.get("State") or {}
        log = (state.get("Health") or state.get("Healthcheck") or {}).get("Log") or []
        if not log:
            return False, "the engine told nothing of the check"
        return int(log[-1].get("ExitCode", 1)) == 0, str(log[-1].get("Output", "")).strip()


def _reason(error: APIError) -> str:
    return " ".join(str(error.explanation or error).split())


def _network(told: Mapping[str, Any]) -> Network:
    subnets = told.get("subnets") or [{}]
    return Network(str(told.get("name")), str(subnets[0].get("subnet", "")), dict(told.get("labels") or {}))


def _container(told: Mapping[str, Any]) -> Container:
    networks = (told.get("NetworkSettings") or {}).get("Networks") or {}
    return Container(
        name=str(told["Name"]).lstrip("/"),
        id=str(told["Id"]),
        state=str((told.get("State") or {}).get("Status", "unknown")),
        labels=dict((told.get("Config") or {}).get("Labels") or {}),
        addresses={name: str(each.get("IPAddress") or "") for name, each in networks.items()},
        image_id=str(told.get("Image") or ""),
        environment=dict(each.partition("=")[::2] for each in (told.get("Config") or {}).get("Env") or ()),
        ports=_published((told.get("NetworkSettings") or {}).get("Ports") or {}),
    )


def _published(told: Mapping[str, Any]) -> tuple[Port, ...]:
    found = [
        Port(int(port.partition("/")[0]), int(each.get("HostPort") or 0), str(each.get("HostIp") or ""))
        for port, places in told.items()
        for each in places or ()
    ]
    return tuple(sorted(found, key=lambda each: (each.container, each.host)))


def _creation(wanted: ContainerRequest) -> dict[str, Any]:
    """The arguments of the library's ``create``."""
    networks: dict[str, dict[str, Any]] = {}
    for number, each in enumerate(wanted.attachments):
        networks[each.network] = {"interface_name": f"eth{number}"}
        if each.address:
            networks[each.network] |= {"static_ips": [each.address], "static_mac": each.mac}
    arguments: dict[str, Any] = {
        "name": wanted.name,
        "hostname": wanted.name,
        "labels": dict(wanted.labels),
        "environment": dict(wanted.environment),
        "network_mode": "bridge",
        "networks": networks,
        "volumes": {name: {"bind": place, "mode": "rw"} for name, place in wanted.volumes.items()}
        | {folder: {"bind": place, "mode": "ro"} for folder, place in wanted.folders.items()},
        "secrets": [
            {"source": name, "target": file, "uid": SERVICE_USER, "gid": SERVICE_USER, "mode": 0o400}
            for name, file in wanted.secrets.items()
        ],
        "ports": _ports(wanted.ports),
        "cap_drop": ["all"],
        "cap_add": list(wanted.capabilities),
        "sysctls": dict(wanted.sysctls),
        "log_config": {"Type": "json-file"},  # read through the API everywhere; the journal is not
        "stop_timeout": wanted.stop_seconds,
    }
    if wanted.memory is not None:
        arguments["mem_limit"] = wanted.memory
    if wanted.cpus is not None:
        arguments |= {"cpu_period": _CPU_PERIOD_US, "cpu_quota": int(wanted.cpus * _CPU_PERIOD_US)}
    return arguments


def _ports(ports: Sequence[Port]) -> dict[str, list[tuple[str, int]]]:
    found: dict[str, list[tuple[str, int]]] = {}
    for port in ports:
        found.setdefault(f"{port.container}/tcp", []).append((port.address, port.host))
    return found
