"""Each command does what its help says, prints what people and machines expect, and ends with the right code."""

import json
import stat

import pytest


def test_add_prints_ids_and_stores_what_was_given(tagfs, shelf, tmp_path):
    """add stores name, content, tags and time of a file."""
    file = tmp_path / "two words.txt"
    file.write_bytes(b"hello")
    result = tagfs("add", file, "-t", "road trip", "-t", "year=2024")
    identifier, name = result.stdout.rstrip("\n").split("\t")
    entry = shelf.entries[identifier]
    assert name == entry.name == "two words.txt"
    assert (entry.data, sorted(entry.tags)) == (b"hello", ["road trip", "year=2024"])
    assert entry.modified.startswith("20")


def test_add_takes_the_standard_input(tagfs, shelf):
    """add - stores what is piped in, under a name."""
    tagfs("add", "-", "--name", "piped", typed=b"\0\1\2")
    assert [entry.data for entry in shelf.entries.values()] == [b"\0\1\2"]
    tagfs("add", "-", code=2, typed=b"x")


def test_add_of_a_folder_or_nothing(tagfs, tmp_path):
    """A folder is refused with the command that takes it; a missing file is named."""
    assert "tagfs import" in tagfs("add", tmp_path, code=2).stderr
    assert "not-there" in tagfs("add", tmp_path / "not-there", code=1).stderr
    tagfs("add", code=2)


@pytest.mark.parametrize("tag", ["", "a/b", "-a", "@a", "a\nb", "x" * 256])
def test_a_wrong_tag_stores_nothing(tagfs, shelf, tmp_path, tag):
    """Tags are checked before anything is sent."""
    file = tmp_path / "f"
    file.write_bytes(b"x")
    tagfs("add", file, f"--tag={tag}", code=2)
    assert not shelf.entries


def test_list_in_a_pipe_is_what_find_gives(tagfs, store):
    """In a pipe: TAB rows, nothing else."""
    identifier = store("a.txt", "x y", "z")
    assert tagfs("list").stdout.split("\t") == [identifier, "7", *tagfs("list").stdout.split("\t")[2:4], '"x y" z\n']


def test_list_as_json(tagfs, store):
    """--json gives one document, before or behind the command, also when nothing matches."""
    identifier = store("a.txt", "t")
    for arguments in (["--json", "list", "t"], ["list", "--json", "t"], ["list", "t", "--json"]):
        found = json.loads(tagfs(*arguments).stdout)
        assert found["total"] == 1
        assert found["complete"] is True
        assert found["entries"][0]["id"] == identifier
        assert found["entries"][0]["tags"] == ["t"]
    assert json.loads(tagfs("list", "nothing", "--json", code=1).stdout)["entries"] == []


def test_limit_and_sort(tagfs, store):
    """Order and number of rows can be chosen."""
    for name in ("b", "a", "c"):
        store(name)
    rows = tagfs("list", "--sort", "-name", "--limit", 2).stdout.splitlines()
    assert [row.split("\t")[3] for row in rows] == ["c", "b"]
    tagfs("list", "--sort", "colour", code=2)


def test_nothing_matches_is_code_1(tagfs, store):
    """Like grep: nothing found is 1, and nothing is printed."""
    store("a", "t")
    for command in (
        ["list", "none"],
        ["tags", "none"],
        ["get", "none"],
        ["export", "none", "x"],
        ["add-tags", "none", "y"],
    ):
        assert tagfs(*command, code=1).stdout == ""
    assert tagfs("count", "none", code=1).stdout == "0\n"
    for command in ("delete", "restore", "purge"):
        tagfs(command, "none", "-y" if command != "restore" else "--", code=1)


@pytest.mark.parametrize("query", ["(", "a and", "a | limit=1", "a\nDELETE b"])
def test_a_wrong_query_is_code_2(tagfs, store, query):
    """What cannot be a query is wrong usage, whoever notices it."""
    store("a", "b")
    assert "Traceback" not in tagfs("list", query, code=2).output
    assert tagfs.names() == ["a"]


def test_a_minus_tag_is_explained(tagfs):
    """-tag looks like an option; the message says what to write."""
    assert "not TAG" in tagfs("list", "beach", "-blurry", code=2).output
    tagfs("delete", "beach", "-yellow", code=2)


def test_a_query_of_several_words(tagfs, store):
    """The words of a query need no quotes in the shell."""
    store("a", "x", "y")
    store("b", "x")
    assert tagfs("count", "x", "and", "not", "y").stdout == "1\n"
    assert tagfs("count", "--", "x", "and", "y").stdout == "1\n"


def test_info_by_the_end_of_an_id(tagfs, store):
    """info takes a whole id, or its end where that is unique."""
    identifier = store("a.txt", "x y")
    for given in (identifier, identifier.upper(), identifier[-8:]):
        told = tagfs.json("info", given)
        assert (told["id"], told["size"], told["tags"]) == (identifier, 7, ["x y"])
    assert f"id\t{identifier}\n" in tagfs("info", identifier).stdout
    assert "no entry id" in tagfs("info", "a!", code=2).stderr
    tagfs("info", "00000000", code=1)
    tagfs("info", "0" * 26, code=1)


def test_tags(tagfs, store):
    """tags counts, for all or for a query."""
    store("a", "x", "y z")
    store("b", "x")
    assert tagfs("tags").stdout == "2\tx\n1\ty z\n"
    assert tagfs.json("tags", '"y z"') == {
        "total": 2,
        "tags": [{"tag": "x", "count": 1}, {"tag": "y z", "count": 1}],
    }
    assert tagfs("tags", "--prefix", "y").stdout == "1\ty z\n"


def test_cat_and_get(tagfs, store, tmp_path):
    """cat writes the bytes; get writes files with their times and never over others."""
    first = store("a.txt", "t", content=bytes(range(256)))
    second = store("a.txt", "t", content=b"other")
    assert tagfs("cat", first).stdout_bytes == bytes(range(256))
    out = tmp_path / "out"
    tagfs("get", "t", "-o", out)
    contents = {path.name: path.read_bytes() for path in out.iterdir()}
    assert sorted(contents.values()) == sorted([bytes(range(256)), b"other"])
    assert "a.txt" in contents
    assert {f"a~{first[-8:]}.txt", f"a~{second[-8:]}.txt"} & set(contents)
    before = sorted(out.iterdir())
    tagfs("get", "t", "-o", out)
    assert sorted(out.iterdir()) == before


def test_get_into_the_current_directory(tagfs, store, tmp_path, monkeypatch):
    """Without -o files come to where one is."""
    store("b.txt", "t", content=b"")
    monkeypatch.chdir(tmp_path)
    assert tagfs("get", "t").stdout == "./b.txt\n"
    assert (tmp_path / "b.txt").read_bytes() == b""


def test_change_tags(tagfs, store):
    """add-tags and delete-tags say how many, and a dry run exactly what they would."""
    store("a", "t", "old")
    store("b", "t")
    assert "1 entry would be tagged" in tagfs("add-tags", "t", "old", "--dry-run").stdout
    assert "1 entry would be untagged" in tagfs("delete-tags", "t", "old", "-n").stdout
    assert tagfs.json("add-tags", "t", "new one", "--dry-run")["would_change"] == 2
    assert tagfs.names('"new one"') == []
    assert tagfs("add-tags", "t", "new one", "x=1").stdout == "2 entries tagged\n"
    assert tagfs("add-tags", "t", "new one").stdout == "0 entries tagged\n"
    assert tagfs.json("delete-tags", "t", "new one") == {"changed": 2}
    tagfs("add-tags", "t", code=2)
    tagfs("add-tags", "", "t", code=2)


def test_a_dry_run_names_the_column_of_the_query(tagfs, store):
    """Where the question is wrapped, mistakes are still told of the text that was typed."""
    store("a", "t")
    plain = tagfs("list", "(", code=2).stderr
    assert tagfs("add-tags", "(", "x", "-n", code=2).stderr == plain
    assert tagfs("restore", "(", code=2).stderr == plain


def test_deleting_asks(tagfs, store):
    """More than one entry: a question, which only a yes answers. One entry: none."""
    store("a", "t")
    store("b", "t")
    store("c", "u")
    assert "2 entries to the trash?" in tagfs("delete", "t", typed="n\n", code=1).stderr
    tagfs("delete", "t", typed="", code=2)
    assert len(tagfs.names()) == 3
    tagfs("delete", "t", typed="y\n")
    tagfs("delete", "u", typed="")
    assert tagfs.names() == []
    tagfs("restore", "t")
    tagfs("delete", "-y", "t")
    assert tagfs.names("in:trash") == ["a", "b", "c"]


def test_deleting_everything_needs_a_query(tagfs, store):
    """An empty query deletes nothing."""
    store("a")
    for arguments in (["delete"], ["delete", ""], ["delete", "-y", " "], ["purge", ""], ["restore", ""]):
        tagfs(*arguments, code=2)
    assert tagfs.names() == ["a"]


def test_purging_always_asks(tagfs, store):
    """What cannot be undone is asked for even for one entry."""
    store("a", "t")
    tagfs("delete", "t")
    tagfs("purge", "t", typed="", code=2)
    assert "1 entry would be forgotten" in tagfs("purge", "t", "--dry-run").stdout
    assert tagfs("purge", "t", typed="yes\n").stdout == "1 entry forgotten for ever\n"
    assert tagfs.names("in:trash") == []


def test_dry_runs_show_some_and_change_nothing(tagfs, store):
    """A dry run says how many and shows the first ten."""
    for number in range(12):
        store(f"n{number}", "t")
    shown = tagfs("delete", "t", "--dry-run").stdout
    assert shown.startswith("12 entries would be moved to the trash:")
    assert "and 2 more" in shown
    assert len(tagfs.names()) == 12


def test_renaming(tagfs, store):
    """Tags and entries get other names."""
    identifier = store("a", "old tag")
    assert "1 entry would be" in tagfs("rename-tag", "old tag", "new tag", "-n").stdout
    tagfs("rename-tag", "old tag", "new tag")
    tagfs("rename", identifier, "other name")
    assert tagfs.names('"new tag"') == ["other name"]
    tagfs("rename-tag", "none", "x", code=1)
    tagfs("rename", identifier, "a/b", code=2)


def test_saved_searches(tagfs):
    """save, saved, unsave."""
    tagfs("save", "my trips", "beach", "or", "sea")
    assert tagfs("saved").stdout == "my trips\tbeach or sea\n"
    assert tagfs.json("saved") == [{"name": "my trips", "query": "beach or sea"}]
    tagfs("unsave", "my trips")
    tagfs("unsave", "my trips", code=1)
    tagfs("saved", code=1)


def test_nodes(tagfs):
    """nodes lists the cluster."""
    assert tagfs("nodes").stdout.split("\t")[3] == "alive"
    assert tagfs.json("nodes")[0]["name"] == "one"


def test_cluster_settings(tagfs):
    """cluster show lists them, cluster set changes all that are named, or none."""
    assert tagfs("cluster", "show").stdout.splitlines() == ["cluster\tc1", "copies\t3"]
    assert tagfs.json("cluster", "set", "copies=2") == {"cluster": "c1", "copies": "2"}
    assert "no setting" in tagfs("cluster", "set", "colour=red", code=2).stderr
    tagfs("cluster", "set", code=2)


def test_what_the_node_cannot_do(tagfs):
    """The server's own words, and code 1."""
    assert "no such command" in tagfs("node", "drain", "x", code=1).stderr


def test_cluster_key(tagfs, tmp_path):
    """One line of 64 hex digits that only its owner may read; never twice into one file."""
    path = tmp_path / "key"
    tagfs("cluster-key", path)
    assert len(path.read_text()) == 65
    int(path.read_text(), 16)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    before = path.read_text()
    assert "exists" in tagfs("cluster-key", path, code=1).stderr
    assert path.read_text() == before


def test_login(tagfs, shelf, tmp_path):
    """A user and a password file, from options or the environment; a password is never an argument."""
    shelf.password = "secret"
    secret = tmp_path / "password"
    secret.write_text("secret\n")
    assert "TAGFS_USER" in tagfs("count", code=1).stderr
    tagfs("count", "--user", "ann", "--password-file", secret, code=1)  # nothing there
    assert "0" in tagfs("count", code=1, TAGFS_USER="ann", TAGFS_PASSWORD_FILE=str(secret)).stdout
    secret.write_text("wrong\n")
    assert "Wrong" in tagfs("count", code=1, TAGFS_USER="ann", TAGFS_PASSWORD_FILE=str(secret)).stderr
    assert "TAGFS_PASSWORD_FILE" in tagfs("count", "--user", "ann", code=2).stderr


def test_options_win_over_the_environment(tagfs):
    """--server behind the command wins over TAGFS_SERVER."""
    tagfs("count", "--server", f"127.0.0.1:{tagfs.port}", code=1, TAGFS_SERVER="127.0.0.1:1")
    assert "cannot reach" in tagfs("--server", "127.0.0.1:1", "count", code=1).stderr
    assert "no server address" in tagfs("count", "--server", "a b", code=2).stderr


def test_a_misspelt_command(tagfs):
    """The nearest command is named."""
    assert "Did you mean 'list'" in tagfs("lst", code=2).output


def test_help_tells_all(tagfs):
    """Every command has a help of its own, and the list of all has a line for each."""
    shown = tagfs("--help").output
    from tagfs.cli.main import COMMANDS

    for name in COMMANDS:
        assert name in shown
        assert "Usage:" in tagfs(name, "--help").output
    assert tagfs("--version").output.startswith("tagfs ")


def test_completion_asks_the_node(tagfs, store):
    """Tags are completed from the node; one that does not answer gives none."""
    from click.shell_completion import ShellComplete

    from tagfs.cli.main import cli

    store("a", "beach", "bead work")

    def complete(*words: str, server: str) -> list[str]:
        made = ShellComplete(cli, {}, "tagfs", "_TAGFS_COMPLETE")
        return [item.value for item in made.get_completions(["--server", server, *words[:-1]], words[-1])]

    here = f"127.0.0.1:{tagfs.port}"
    assert complete("list", "bea", server=here) == ["beach", '"bead work"']
    assert complete("add", "x", "-t", "bea", server=here) == ["beach", "bead work"]
    assert complete("list", "x and (bea", server=here) == ["x and (beach", 'x and ("bead work"']
    assert complete("list", "bea", server="127.0.0.1:1") == []
    assert "list" in complete("li", server=here)
    assert "_TAGFS_COMPLETE" in tagfs("completion", "bash").stdout


def test_what_is_no_file_can_come_through_the_standard_input(tagfs):
    """The refusal of a device or a pipe says how its bytes are stored."""
    assert "tagfs add - --name NAME < /dev/null" in tagfs("add", "/dev/null", code=2).stderr


def test_numbers_are_numbers_in_json(tagfs, store, monkeypatch):
    """A size and a count of versions can be computed with."""
    from tagfs.client.rows import Information

    fields = (("id", "x"), ("size", "7"), ("versions", "2"), ("name", "7"), ("nodes", "one"))
    monkeypatch.setattr("tagfs.client.Client.info", lambda *_: Information(fields))
    told = tagfs.json("info", store("a"))
    assert (told["size"], told["versions"], told["name"]) == (7, 2, "7")
