"""Small pictures: right in size and turn, bounded in cost, refused for what is no image."""

from __future__ import annotations

import io
import struct
import zlib

import pytest
from PIL import Image

from tagfs.front.web.thumbnails import Unreadable, shrink
from tests.front.web_world import API, Client, WebWorld, web

__all__ = ["web"]


def picture(kind: str = "JPEG", size: tuple[int, int] = (400, 200), mode: str = "RGB", **more: object) -> bytes:
    out = io.BytesIO()
    Image.new(mode, size, (200, 30, 30, 90)[: len(mode)]).save(out, kind, **more)  # type: ignore[arg-type]
    return out.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "BMP"])
def test_fits_into_the_size(kind: str) -> None:
    """The longest side is what was asked for; a smaller image stays as it is."""
    with Image.open(io.BytesIO(shrink(picture(kind), 100))) as made:
        assert (made.format, made.size) == ("WEBP", (100, 50))
    with Image.open(io.BytesIO(shrink(picture(kind, (40, 20)), 100))) as made:
        assert made.size == (40, 20)


def test_stands_upright_and_stays_clear() -> None:
    """The orientation that a camera noted is applied; what can be seen through stays so."""
    turned = Image.Exif()
    turned[0x0112] = 6
    with Image.open(io.BytesIO(shrink(picture(exif=turned), 100))) as made:
        assert made.size == (50, 100)
    with Image.open(io.BytesIO(shrink(picture("PNG", mode="RGBA"), 100))) as made:
        assert made.mode == "RGBA"


def test_bombs_and_rubbish_are_refused() -> None:
    """A header that claims a billion pixels is not believed far enough to decode it; broken and other files say why."""
    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    bomb = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    for data in (bomb, b"", b"rubbish", picture()[:300], b"<svg xmlns='http://www.w3.org/2000/svg'/>"):
        with pytest.raises(Unreadable):
            shrink(data, 100)


async def test_thumbnail_over_http(web: WebWorld) -> None:
    """200 with a picture, 304 where it is known, 415 for what is none, 400 for a size out of bounds."""
    image = await web.add("a.jpg", data=picture())
    broken = await web.add("b.jpg", data=b"no image")
    text = await web.add("c.txt")

    def work(client: Client) -> None:
        answer = client.get(f"{API}/entries/{image}/thumbnail?size=64")
        assert (answer.status, answer.headers["Content-Type"]) == (200, "image/webp")
        with Image.open(io.BytesIO(answer.body)) as made:
            assert made.size == (64, 32)
        again = client.get(f"{API}/entries/{image}/thumbnail?size=64", If_None_Match=answer.headers["ETag"])
        assert (again.status, again.body) == (304, b"")
        for other in (broken, text):
            assert client.get(f"{API}/entries/{other}/thumbnail").status == 415
        assert client.get(f"{API}/entries/{image}/thumbnail?size=9999").status == 400

    await web.session(work)
