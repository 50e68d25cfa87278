"""The files for one node per machine say only what Quadlet and tagfs know, and what the guide says of them."""

import configparser
import re
import tomllib
from pathlib import Path

from attrs import fields

from podman_utils.description import from_file
from tagfs.settings import Settings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
GUIDE = (ROOT / "docs/guides/deploy.md").read_text(encoding="utf-8")
# podman-systemd.unit(5), of Podman 4.4: the keys of [Container] that are used or could be mistaken.
KNOWN_KEYS = {
    "Image", "ContainerName", "Network", "EnvironmentFile", "Environment", "Secret", "Volume", "NoNewPrivileges",
    "DropCapability", "HealthCmd", "HealthInterval", "HealthTimeout", "HealthStartPeriod", "HealthRetries",
}  # fmt: skip


def pairs(name: str) -> list[tuple[str, str, str]]:
    """Section, key and value of each line; a key may come several times, which configparser does not take."""
    section, found = "", []
    for line in (DEPLOY / name).read_text().splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif line and not line.startswith("#"):
            key, _, value = line.partition("=")
            found.append((section, key, value))
    return found


def test_container_file_is_quadlets() -> None:
    """Its keys are known, its volume is the other file, and its secrets are those that the guide makes."""
    container = [(key, value) for section, key, value in pairs("tagfs.container") if section == "Container"]
    assert {key for key, _ in container} <= KNOWN_KEYS
    assert ("Volume", "tagfs-data.volume:/data") in container
    assert configparser.ConfigParser().read(DEPLOY / "tagfs-data.volume")
    for key, value in container:
        if key == "Secret":
            assert f"podman secret create {value.split(',')[0]} " in GUIDE
    dockerfile = (ROOT / "dockerfiles/distributed_python.dockerfile").read_text()
    assert f'CMD ["{dict(container)["HealthCmd"]}"]' in dockerfile
    assert "VOLUME /data" in dockerfile and "--uid 1000" in dockerfile


def test_settings_are_known() -> None:
    """Each TAGFS_ variable is a setting, also those that are only shown."""
    texts = [(DEPLOY / name).read_text() for name in ("tagfs.container", "tagfs.env")] + [GUIDE]
    named = {name.lower() for text in texts for name in re.findall(r"\bTAGFS_([A-Z_]+)", text)}
    assert named <= {each.name for each in fields(Settings)}
    assert {"cluster_key", "admin_password_file", "join", "zone"} <= named


def test_cluster_toml_of_the_guide_is_right(tmp_path: Path) -> None:
    """The example is read as it stands, and so are the lines in it that are commented out."""
    (example,) = re.findall(r"^```toml\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)
    (tmp_path / "cluster.toml").write_text(example)
    (tmp_path / "twistd.tac").touch()
    spec = from_file(tmp_path / "cluster.toml")
    assert [node.name for node in spec.nodes] == ["n1", "n2", "n3"]
    (tmp_path / "cluster.toml").write_text(example.replace("#source", "source"))
    assert from_file(tmp_path / "cluster.toml").source == str(tmp_path)
    assert tomllib.loads(example)["copies"] == 2
