"""Entries over HTTP: storing, asking, changing, bulk changes, the trash."""

from __future__ import annotations

import json

from tagfs.node.interfaces import Figure
from tests.front.web_world import API, Client, WebWorld, web

__all__ = ["web"]


async def test_stored_entry_is_found_shown_and_read(web: WebWorld) -> None:
    """What POST stores is what the list, the entry and its content say."""

    def work(client: Client) -> None:
        made = client.put_entry("sea.txt", "Beach", "2024", data=b"waves")
        assert (made["name"], made["size"], made["type"], made["tags"]) == (
            "sea.txt",
            5,
            "text/plain",
            ["2024", "Beach"],
        )
        found = client.get(f"{API}/entries?q=beach+and+2024").json()
        assert (found["total"], found["complete"], found["next"]) == (1, True, None)
        assert set(found["entries"][0]) == {"id", "name", "size", "type", "digest", "tags", "home", "added", "modified"}
        assert found["entries"][0]["id"] == made["id"]
        assert client.get(f"{API}/entries/{made['id']}").json() == made
        assert client.get(f"{API}/entries/{made['id']}/content").body == b"waves"

    await web.session(work)


async def test_post_says_where_the_entry_is(web: WebWorld) -> None:
    """201 carries a Location that answers."""

    def work(client: Client) -> None:
        answer = client.ask("POST", f"{API}/entries?name=a", b"x")
        assert answer.status == 201
        assert client.get(answer.headers["Location"]).json()["name"] == "a"

    await web.session(work)


async def test_pages_follow_each_other(web: WebWorld) -> None:
    """Cursors lead through all entries once each, in the order asked for, while others come and go."""
    for number in range(7):
        await web.add(f"f{number}")

    def work(client: Client) -> list[str]:
        names: list[str] = []
        after = "&after="  # an empty one is the first page
        while True:
            page = client.get(f"{API}/entries?limit=3&sort=name{after}").json()
            names += [entry["name"] for entry in page["entries"]]
            if page["next"] is None:
                return names
            client.put_entry("a-new-one-before")
            after = f"&after={page['next']}"

    assert await web.session(work) == [f"f{number}" for number in range(7)]


async def test_patch_renames_and_retags_at_once(web: WebWorld) -> None:
    """PATCH gives back the entry as it is then."""
    identifier = await web.add("old", "a", "b")

    def work(client: Client) -> None:
        answer = client.ask(
            "PATCH", f"{API}/entries/{identifier}", {"name": "new", "add_tags": ["c"], "delete_tags": ["a"]}
        )
        assert answer.status == 200
        assert (answer.json()["name"], answer.json()["tags"]) == ("new", ["b", "c"])
        assert client.ask("PATCH", f"{API}/entries/{identifier}", {}).status == 400

    await web.session(work)


async def test_deleted_entry_is_in_the_trash_and_comes_back(web: WebWorld) -> None:
    """DELETE can be repeated, and restored by query."""
    identifier = await web.add("a", "t")

    def work(client: Client) -> None:
        for _ in range(2):
            answer = client.ask("DELETE", f"{API}/entries/{identifier}")
            assert (answer.status, answer.body) == (204, b"")
        assert client.get(f"{API}/entries").json()["total"] == 0
        assert client.get(f"{API}/entries?q=in:trash").json()["total"] == 1
        assert client.get(f"{API}/entries/{identifier}").json()["trashed"]
        assert client.ask("POST", f"{API}/restore", {"query": f"id:{identifier}"}).json() == {"changed": 1}
        assert client.get(f"{API}/entries").json()["total"] == 1

    await web.session(work)


async def test_bulk_changes_count_what_they_changed(web: WebWorld) -> None:
    """retag, delete and restore answer with the number of entries; an empty query is refused."""
    for number in range(3):
        await web.add(f"f{number}", "t")

    def work(client: Client) -> None:
        asked = {"query": "t", "add_tags": ["u"], "delete_tags": ["t"]}
        assert client.ask("POST", f"{API}/retag", asked).json() == {"changed": 3}
        assert client.ask("POST", f"{API}/delete", {"query": "name:f1"}).json() == {"changed": 1}
        assert client.ask("POST", f"{API}/restore", {"query": "u"}).json() == {"changed": 1}
        for path in ("retag", "delete", "restore"):
            answer = client.ask("POST", f"{API}/{path}", {"query": " "})
            assert (answer.status, answer.json()["column"]) == (400, 1), path

    await web.session(work)


async def test_tags_are_counted(web: WebWorld) -> None:
    """Facets of a query, by count or name, with a prefix."""
    await web.add("f1", "beach", "2023")
    await web.add("f2", "beach", "boat")

    def work(client: Client) -> None:
        found = client.get(f"{API}/tags?q=beach&limit=1").json()
        assert found == {"total": 3, "tags": [{"tag": "beach", "count": 2}]}
        named = client.get(f"{API}/tags?prefix=b&sort=name").json()
        assert [row["tag"] for row in named["tags"]] == ["beach", "boat"]

    await web.session(work)


async def test_same_key_stores_once(web: WebWorld) -> None:
    """A repeat with the same Idempotency-Key gives the first entry, and there is one."""

    def work(client: Client) -> None:
        first = client.put_entry("a", data=b"one", Idempotency_Key="k1")
        again = client.put_entry("a", data=b"one", Idempotency_Key="k1")
        assert first["id"] == again["id"]

    await web.session(work)
    assert len(await web.found()) == 1


async def test_query_error_names_the_column(web: WebWorld) -> None:
    """A problem document with the column and what was expected."""

    def work(client: Client) -> None:
        answer = client.get(f"{API}/entries?q=a+and+)")
        assert (answer.status, answer.headers["Content-Type"]) == (400, "application/problem+json")
        assert answer.json()["column"] == 7
        assert answer.json()["expected"]

    await web.session(work)


async def test_wrong_parameters_are_refused(web: WebWorld) -> None:
    """Unknown, repeated and out-of-range parameters are 400, never ignored."""

    def work(client: Client) -> None:
        for query in (
            "limt=1",
            "limit=1&limit=2",
            "limit=1001",
            "limit=-1",
            "sort=colour",
            "after=x",
            "q=%ff",
            "q=%zz",
        ):
            answer = client.get(f"{API}/entries?{query}")
            assert (answer.status, answer.json()["status"]) == (400, 400), query

    await web.session(work)


async def test_wrong_documents_are_refused(web: WebWorld) -> None:
    """JSON bodies are held to their types; other types are 415, too long ones 413."""
    identifier = await web.add("a")
    path = f"{API}/entries/{identifier}"

    def work(client: Client) -> None:
        for body in (b"{", b"[]", b'{"nme": "x"}', b'{"name": 1}', b'{"add_tags": "x"}', b'{"add_tags": [1]}', b"\xff"):
            answer = client.ask("PATCH", path, body, Content_Type="application/json")
            assert answer.status == 400, body
        assert client.ask("PATCH", path, b"{}", Content_Type="text/plain").status == 415
        long = b'{"name": "' + b"x" * (2 << 20) + b'"}'
        assert client.ask("PATCH", path, long, Content_Type="application/json").status == 413

    await web.session(work)


async def test_what_is_not_there_is_404(web: WebWorld) -> None:
    """Unknown paths, unknown and malformed ids."""

    def work(client: Client) -> None:
        for path in ("/nothing", f"{API}/entries/x", f"{API}/entries/00000000000000000000000000", f"{API}/entries/"):
            assert client.get(path).status == 404, path

    await web.session(work)


async def test_other_methods_are_405_with_allow(web: WebWorld) -> None:
    """Allow says what is possible; OPTIONS too."""

    def work(client: Client) -> None:
        answer = client.ask("DELETE", f"{API}/entries")
        assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD, OPTIONS, POST")
        answer = client.ask("OPTIONS", f"{API}/entries")
        assert (answer.status, answer.headers["Allow"]) == (204, "GET, HEAD, OPTIONS, POST")

    await web.session(work)


async def test_long_answers_are_packed_for_who_takes_it(web: WebWorld) -> None:
    """gzip where accepted, and only there."""
    import gzip

    for number in range(20):
        await web.add(f"f{number}", "some tag")

    def work(client: Client) -> None:
        packed = client.get(f"{API}/entries", Accept_Encoding="br, gzip;q=0.5")
        assert packed.headers["Content-Encoding"] == "gzip"
        assert json.loads(gzip.decompress(packed.body)) == client.get(f"{API}/entries").json()
        assert client.get(f"{API}/entries", Accept_Encoding="gzip;q=0").headers["Content-Encoding"] is None

    await web.session(work)


async def test_tells_of_node_health_and_figures(web: WebWorld) -> None:
    """nodes, healthz and metrics, with what any part of the node reports; one that takes no writes is not ready and says why."""
    web.core.reports.append(lambda: [Figure("copies_owed", "Copies.", 3 + at, {"node": "ab"[at]}) for at in range(2)])
    await web.add("a")

    def work(client: Client) -> None:
        (row,) = client.get(f"{API}/nodes").json()["nodes"]
        assert (row["id"], row["state"], row["entries"]) == ("testnode", "alive", 1)
        web.core.starting = "it gets what the others have"
        answer = client.get("/healthz")
        assert answer.status == 503 and "what the others have" in answer.json()["detail"]
        web.core.starting = ""
        assert client.get("/healthz").json()["ready"] is True
        text = client.get("/metrics").body.decode()
        for figure in (
            'tagfs_commands_total{code="200",command="GET /healthz",door="web"} 1.0',
            'tagfs_commands_total{code="503",command="GET /healthz",door="web"} 1.0',
            'tagfs_command_seconds_bucket{command="GET /healthz",door="web",le="+Inf"} 2.0',
            'tagfs_connections{door="web"} 1.0',
            'tagfs_pool_calls{pool="readers"} 0.0',
            'copies_owed{node="a"} 3.0',
            'copies_owed{node="b"} 4.0',
            "process_resident_memory_bytes ",
        ):
            assert figure in text, figure
        assert "tagfs_entries 1.0" in text
        web.core.read_only = "the disk is broken"
        answer = client.get("/healthz")
        assert answer.status == 503 and "the disk is broken" in answer.json()["detail"]
        assert client.ask("POST", f"{API}/entries?name=b", b"x").status == 503

    await web.session(work)
