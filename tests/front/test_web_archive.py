"""A query as one zip: every file once, under a name of its own, as fast as it is taken."""

from __future__ import annotations

import io
import zipfile

from tests.front.web_world import API, Client, WebWorld, web

__all__ = ["web"]
BIG = bytes(range(256)) * 8192


async def test_archive_has_every_file_once(web: WebWorld) -> None:
    """Names that collide, also but for case, are told apart; contents and times are right."""
    ids = [
        await web.add(name, "t", data=data)
        for name, data in (("a.txt", b"1"), ("A.txt", b"22"), ("dir\\x", BIG), ("€", b""))
    ]
    await web.add("other", "u")

    def work(client: Client) -> None:
        answer = client.get(f"{API}/archive?q=t")
        assert (answer.status, answer.headers["Content-Type"]) == (200, "application/zip")
        with zipfile.ZipFile(io.BytesIO(answer.body)) as made:
            assert made.testzip() is None
            contents = {name: made.read(name) for name in made.namelist()}
        either = [{f"a~{ids[0][-6:]}.txt": b"1", "A.txt": b"22"}, {"a.txt": b"1", f"A~{ids[1][-6:]}.txt": b"22"}]
        assert contents in [{**names, "dir_x": BIG, "€": b""} for names in either]

    await web.session(work)


async def test_nothing_to_archive_is_404(web: WebWorld) -> None:
    """And a bad query is 400, before anything is sent."""

    def work(client: Client) -> None:
        assert client.get(f"{API}/archive?q=t").status == 404
        assert client.get(f"{API}/archive?q=(").status == 400

    await web.session(work)
