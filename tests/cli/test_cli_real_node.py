"""The command line against a real node: the whole journey of the guide."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.campaigns.node_process import NodeProcess
from tests.cli.command_line import Tagfs

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    running = NodeProcess(tmp_path_factory.mktemp("real") / "data")
    running.start()
    yield running
    running.stop()


@pytest.fixture
def tagfs(real: NodeProcess) -> Iterator[Tagfs]:
    command = Tagfs(real.address[1])
    yield command
    for query in ("in:trash or not in:trash",):
        if command.has("not nothing"):
            command("delete", "-y", "not nothing")
        command("purge", "-y", query, code=0) if command.has("in:trash") else None


def lines(folder: Path) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in (folder / "tagfs.jsonl").read_text().splitlines()]
    for line in found:
        del line["id"], line["added"], line["path"]
    return sorted(found, key=lambda line: json.dumps(line, sort_keys=True))


def test_the_examples(tagfs, tmp_path):
    """The ten examples import, answer the five questions of their page, and come out and in again unchanged."""
    page = (ROOT / "examples/README.md").read_text()
    questions = [line for line in page.splitlines() if line.startswith("tagfs list ")]
    assert len(questions) == 5
    assert "11 files stored" in tagfs("import", ROOT / "examples").stdout
    import shlex

    for question in questions:
        assert tagfs(*shlex.split(question)[1:]).stdout
    assert len(tagfs.json("list", "sea or vegetables")["entries"]) == 3
    assert tagfs.names("untagged") == ["README.md"]
    assert dict.fromkeys(["year=2024"], 1).items() <= {(row["tag"], row["count"]) for row in tagfs.json("tags")["tags"]}
    tagfs("export", "", tmp_path / "one")
    tagfs("delete", "-y", "not nothing")
    tagfs("purge", "-y", "not nothing")
    tagfs("import", tmp_path / "one")
    tagfs("export", "", tmp_path / "two")
    assert lines(tmp_path / "one") == lines(tmp_path / "two")
    assert (
        subprocess.run(["diff", "-r", "-x", "tagfs.jsonl", tmp_path / "one", tmp_path / "two"], check=False).returncode
        == 0
    )


def test_odd_names_and_tags(tagfs, tmp_path):
    """Whatever may be in a name or a tag, a real node takes, finds and gives back."""
    odd = [
        'a "b" c.txt',
        "x | limit=1",
        "*?",
        "and",
        "id:x",
        "back\\slash",
        "ünï ß",
        "(",
        "x=1",
        "size:>5",
        "#",
        "日本",
    ]
    for name in odd:
        (tmp_path / "t" / name).mkdir(parents=True)
        (tmp_path / "t" / name / name).write_bytes(name.encode())
    assert f"{len(odd)} files stored" in tagfs("import", tmp_path / "t").stdout
    assert f"{len(odd)} there already" in tagfs("import", tmp_path / "t").stdout
    assert f"{len(odd)} merged" in tagfs("import", tmp_path / "t", "-t", "one more").stdout
    assert tagfs.names('"one more"') == sorted(odd)
    tagfs("get", '"one more"', "-o", tmp_path / "out")
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == {n: n.encode() for n in odd}


def test_one_entry_from_beginning_to_end(tagfs, tmp_path):
    """Stored, found, tagged, renamed, deleted, restored, forgotten."""
    (tmp_path / "f.txt").write_bytes(b"hello")
    identifier = tagfs("add", tmp_path / "f.txt", "-t", "a b").stdout.split("\t")[0]
    assert tagfs("cat", identifier[-8:]).stdout == "hello"
    assert "1 entry would be tagged" in tagfs("add-tags", '"a b"', "c", "--dry-run").stdout
    tagfs("add-tags", '"a b"', "c", "k=5")
    assert tagfs.names("k > 4 and c") == ["f.txt"]
    tagfs("delete-tags", "c", "a b")
    tagfs("rename-tag", "c", "d e")
    tagfs("rename", identifier, "g h.txt")
    assert tagfs.names('"d e"') == ["g h.txt"]
    tagfs("delete", '"d e"')
    assert not tagfs.has("k=5")
    tagfs("restore", "k=5")
    assert tagfs.has("k=5")
    tagfs("delete", "k=5")
    tagfs("purge", "k=5", "-y")
    tagfs("info", identifier, code=1)


def test_paging_through_many(tagfs, tmp_path):
    """An export of more than one page has every entry once."""
    (tmp_path / "t").mkdir()
    for number in range(1200):
        (tmp_path / "t" / f"f{number}").write_bytes(b"%d" % number)
    tagfs("import", tmp_path / "t")
    tagfs("export", "", tmp_path / "out")
    assert len(lines(tmp_path / "out")) == 1200
    assert len(list((tmp_path / "out").iterdir())) == 1201


def test_a_node_killed_in_the_middle_of_an_import(tmp_path):
    """The node dies and comes back while an import runs; everything is stored once."""
    import threading

    from click.testing import CliRunner

    from tagfs.cli.main import cli

    for folder in range(10):
        (tmp_path / "t" / f"d{folder}").mkdir(parents=True)
        for number in range(200):
            (tmp_path / "t" / f"d{folder}" / f"f{folder}-{number}").write_bytes(b"%d %d" % (folder, number) * 100)
    node = NodeProcess(tmp_path / "data")
    node.start()
    port = node.address[1]
    fixed = NodeProcess(tmp_path / "data", options=["--ftp", f"tcp:{port}:interface=127.0.0.1"])
    results = []

    def importing() -> None:
        results.append(CliRunner().invoke(cli, ["--server", f"127.0.0.1:{port}", "import", str(tmp_path / "t")]))

    thread = threading.Thread(target=importing)
    thread.start()
    try:
        deadline = 2000
        from tagfs.client import Client

        with Client(port=port) as client:
            while client.count() < 300 and deadline:
                deadline -= 1
        node.kill()
        fixed.start()
        thread.join(60)
        assert results[0].exit_code == 0, results[0].output
        command = Tagfs(port)
        assert len(set(command.names())) == len(command.names()) == 2000
    finally:
        thread.join(60)
        node.kill()
        fixed.stop()


def test_doctor_on_a_real_data_directory(tagfs, real):
    """Everything is well, and the running node is recognised."""
    result = tagfs("doctor", "--data", real.data)
    assert "is the data of a node, format 1" in result.stdout
    assert f"process {real.pid} is the node" in result.stdout
    assert "FAIL" not in result.stdout
    unnamed = tagfs("doctor", "--data", real.data, TAGFS_SERVER="")
    assert f"{real.facts['ftp']} answers" in unnamed.stdout
