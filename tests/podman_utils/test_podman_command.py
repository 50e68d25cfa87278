"""`tagfs-podman` as a user types it: answers on standard output, progress on the other, faults in one line with a code."""

import io
import json
import tarfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from podman_utils import bases, cluster, images
from podman_utils.errors import Fault
from podman_utils.main import MOST_LINE, _lines, cli

ROOT = Path(__file__).parents[2]


@pytest.fixture
def tagfs_podman(fake, tmp_path, monkeypatch):
    """Runs the command against the fake in an empty directory; waits take no time."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr(cluster.time, "sleep", lambda seconds: None)

    def run(*words, code=0):
        done = CliRunner().invoke(cli, ["--socket", fake.url, *words], prog_name="tagfs-podman")
        assert done.exit_code == code, done.output
        return done

    return run


def test_a_cluster_in_one_command(tagfs_podman):
    """up, and the table; status as JSON for programs; down."""
    done = tagfs_podman("up", "--nodes", "5", "--networks", "2")
    assert "5 nodes see each other alive" in done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["NODE", "NETWORK", "ADDRESS", "CONTAINER", "STATE", "HEALTH", "ID", "SEEN", "AS"]
    assert lines[1].split() == ["n1", "a", "10.89.0.11", "tagfs-n1", "running", "well", "id-n1", "alive"]
    assert len(lines) == 7
    told = json.loads(tagfs_podman("status", "--json").stdout)
    assert [each["name"] for each in told] == ["n1", "n2", "n3", "n4", "n5", "router"]
    tagfs_podman("cut", "a", "b")
    assert "cut: a and b" in tagfs_podman("status").stdout
    tagfs_podman("heal")
    assert "cut" not in tagfs_podman("status").stdout
    tagfs_podman("down", "--volumes")
    assert "there is no cluster tagfs here" in tagfs_podman("status", code=1).stderr
    for verb in ("logs", "restart", "add-node"):
        assert "the cluster tagfs has no nodes; tagfs-podman up makes them\n" in tagfs_podman(verb, code=1).stderr


def test_logs_go_on(tagfs_podman, fake):
    """With -f each node's log is read in a thread of its own; what goes wrong there is told, too."""
    tagfs_podman("up", "--nodes", "2")
    done = tagfs_podman("logs", "-f")
    assert sorted(done.stdout.splitlines()) == ["tagfs-n1: tagfs-n1 is up", "tagfs-n2: tagfs-n2 is up"]
    fake.lost_logs = True
    assert "tagfs-podman: Podman could not read the log of tagfs-n1: it is gone" in tagfs_podman("logs", "-f").stderr


def test_long_lines_are_shown_in_pieces():
    """However much comes without a line's end, not much is kept."""
    pieces = [b"a" * MOST_LINE, b"b" * 9, b"\nc\n", b"d"]
    assert list(_lines(pieces)) == [b"a" * MOST_LINE, b"b" * 9, b"c", b"d"]


def test_a_described_cluster(tagfs_podman, fake):
    """cluster.toml in the directory is taken by itself; options that say the same thing are refused."""
    Path("cluster.toml").write_text('name = "demo"\ncopies = 2\n[nodes.only]\nports = ["2121"]\n')
    tagfs_podman("up")
    assert sorted(fake.containers) == ["demo-only"]
    assert "nodes, networks, zones and ports are in cluster.toml" in tagfs_podman("up", "--nodes", "3", code=2).stderr
    assert tagfs_podman("logs", "only").stdout == "demo-only is up\n"
    Path("cluster.toml").write_text("nodes = 3")
    done = tagfs_podman("up", code=2)
    assert done.stderr.startswith("tagfs-podman: cluster.toml: nodes:")
    assert len(done.stderr.splitlines()) == 1


def test_several_clusters_have_names(tagfs_podman, fake):
    """Each has its own things, and down of one leaves the other."""
    tagfs_podman("--name", "one", "up", "--nodes", "1")
    tagfs_podman("--name", "two", "up", "--nodes", "1", "--port", "42121:2121")
    assert fake.containers["two-n1"]["told"]["portmappings"][0]["host_port"] == 42121
    tagfs_podman("--name", "one", "down", "--volumes")
    assert sorted(fake.containers) == ["two-n1"]
    told = tagfs_podman("--name", "one", "status", code=1).stderr
    assert told.endswith("tagfs-podman up makes one; --name says which other is meant: two\n")
    assert "there are 1 to 26 networks" in tagfs_podman("up", "--networks", "0", code=2).stderr


def test_exec_and_password(tagfs_podman, fake):
    """The command's words are not ours: options go to it, and its exit code comes back."""
    tagfs_podman("up", "--nodes", "1")
    fake.answers.append(lambda name, command: (3, "out\n", "err\n") if command == ["ls", "-f", "--name"] else None)
    done = tagfs_podman("exec", "n1", "ls", "-f", "--name", code=3)
    assert (done.stdout, done.stderr) == ("out\n", "err\n")
    fake.answers.append(lambda name, command: (0, "secret\n", "") if command[0] == "cat" else None)
    assert tagfs_podman("password").stdout == "secret\n"


def test_members_come_and_go(tagfs_podman, fake):
    """Each verb does what it says, to the router too."""
    tagfs_podman("up", "--nodes", "2", "--networks", "2")
    assert tagfs_podman("add-node", "--network", "b").stdout == "n3\n"
    for verb, state in (
        ("stop", "exited"),
        ("start", "running"),
        ("pause", "paused"),
        ("start", "running"),
        ("kill", "exited"),
    ):
        tagfs_podman(verb, "n3")
        assert fake.containers["tagfs-n3"]["State"]["Status"] == state
    tagfs_podman("stop", "router")
    assert fake.containers["tagfs-router"]["State"]["Status"] == "exited"
    assert "has no n9; there are" in tagfs_podman("stop", "n9", code=1).stderr


def test_faults_are_one_line(tmp_path):
    """Here: no socket."""
    done = CliRunner().invoke(cli, ["--socket", str(tmp_path / "none.sock"), "status"])
    assert done.exit_code == 1
    assert done.stderr.startswith("tagfs-podman: there is no Podman socket at ")
    assert len(done.stderr.splitlines()) == 1


def test_build_makes_all_images(tagfs_podman, fake):
    """In order, each on what it needs, of what the dockerfiles copy and nothing else."""
    fake.images.clear()
    done = tagfs_podman("build", "--source", str(ROOT))
    assert [line.split("\t")[0] for line in done.stdout.splitlines()] == [image.name for image in images.IMAGES]
    assert [json.loads(each.get("buildargs", "{}")) for each in fake.builds] == [
        {},
        {"BASE": "localhost/distributed_python"},
        {},
    ]
    with tarfile.open(fileobj=io.BytesIO(fake.builds[0]["context"])) as context:
        names = set(context.getnames())
        assert context.getmember("twisted/plugins").issym()
    assert {"setup.py", "tagfs/service.py", "dockerfiles/service.sh", "twistd.tac"} <= names
    assert not any(name.startswith((".", "tests", "docs")) or "__pycache__" in name for name in names)
    for image in images.IMAGES:
        for line in (ROOT / image.dockerfile).read_text().splitlines():
            if line.startswith("COPY "):
                assert {each.rstrip("/") for each in line.split()[1:-1]} <= names, line


def test_a_build_without_a_registry_names_the_way_out(tagfs_podman, fake):
    """Where the base of a dockerfile cannot be had."""
    fake.unreachable = True
    done = tagfs_podman("build", "--source", str(ROOT), code=1)
    assert "cannot be pulled" in done.stderr.splitlines()[-1] and "--local-bases" in done.stderr.splitlines()[-1]


def test_the_context_is_the_same_each_time(tmp_path):
    """Else no layer would ever come from the cache."""
    assert images.make_context(ROOT) == images.make_context(ROOT)
    with pytest.raises(Fault, match="no checkout of tagfs"):
        images.make_context(tmp_path)


def test_local_bases_take_the_place_of_a_registry(tagfs_podman, fake, monkeypatch, tmp_path):
    """Made by mmdebstrap of this machine's sources, imported, and given to the builds as BASE."""
    commands = []

    def debootstrap(options, archive):
        commands.append(options)
        archive.write_bytes(b"tar")

    monkeypatch.setattr(bases, "_debootstrap", debootstrap)
    tagfs_podman("build", "--source", str(ROOT), "--local-bases")
    assert [json.loads(each["buildargs"])["BASE"] for each in fake.builds] == [
        bases.PYTHON_BASE,
        "localhost/distributed_python",
        bases.ROUTER_BASE,
    ]
    assert len(commands) == 2


def test_missing_mmdebstrap_is_told(tmp_path, monkeypatch):
    """With the package that has it."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Fault, match="apt-get install mmdebstrap"):
        bases._debootstrap([], tmp_path / "base.tar")
