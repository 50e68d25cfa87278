"""The page for people, used in a real Chromium: nothing breaks its own policy, and each thing it offers works."""

from __future__ import annotations

import io
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.campaigns.node_process import NodeProcess

SIZES = {"wide": (1280, 900), "phone": (390, 844)}


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    node = NodeProcess(tmp_path / "data")
    node.start()
    yield str(node.facts["web"])
    node.stop()


@pytest.fixture
def browser(require_tool: Callable[[str], str]) -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api")
    with api.sync_playwright() as playwright:
        options = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        chromium = playwright.chromium.launch(executable_path=require_tool("chromium"), args=options)
        yield chromium
        chromium.close()


def store(address: str, name: str, *tags: str, data: bytes = b"content") -> None:
    query = urllib.parse.urlencode([("name", name), *(("tag", tag) for tag in tags)])
    urllib.request.urlopen(f"{address}/api/v1/entries?{query}", data=data).close()


def visit(browser: Any, address: str, faults: list[str], size: str = "wide", scheme: str = "light") -> Any:
    """The page, open; what its console complains of goes to ``faults``."""
    width, height = SIZES[size]
    page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
    page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.goto(address)
    return page


@pytest.mark.slow
@pytest.mark.limit(90)
def test_the_page_does_what_it_offers(browser: Any, address: str, tmp_path: Path) -> None:
    """Search by facet, upload, rename, tag, delete, undo, restore, nodes, news from elsewhere; in any size and colour."""
    expect = pytest.importorskip("playwright.sync_api").expect
    picture = io.BytesIO()
    Image.new("RGB", (600, 300), (20, 90, 160)).save(picture, "PNG")
    store(address, "sea.png", "beach", "2024", data=picture.getvalue())
    store(address, "<img src=x onerror=alert(1)>.txt", "beach", "<b>")
    faults: list[str] = []
    page = visit(browser, address, faults)
    rows = page.locator("#results li[data-id]")
    rows.nth(1).wait_for()
    assert page.locator("#results img.sign").evaluate("image => image.decode().then(() => image.naturalWidth)") == 128

    page.click("#facets button:has-text('2024')")
    expect(rows).to_have_count(1)
    assert page.input_value("#query") == "2024"

    page.click("#results .name")
    page.fill("#rename", "bay.png")
    page.click("dialog button:has-text('Rename')")
    expect(page.locator("#details-name")).to_have_text("bay.png")
    page.fill("#adding", "calm, no wind")
    page.click("dialog button:has-text('Add')")
    page.locator("#details .tag:has-text('no wind')").wait_for()
    page.click("#details button[aria-label='Take the tag calm']")
    page.locator("#details .tag:has-text('calm')").wait_for(state="detached")
    page.keyboard.press("Escape")

    page.click("#results .danger")
    expect(rows).to_have_count(0)
    page.click(".toast button:has-text('Undo')")
    rows.nth(0).wait_for()

    page.click("#upload")
    page.fill("#upload-tags", "fresh, 2024")
    page.set_input_files("#choose", [{"name": "new.bin", "mimeType": "", "buffer": b"z" * 3_000_000}])
    page.locator("#upload-rows li.done").wait_for()
    expect(rows).to_have_count(2)

    store(address, "from elsewhere", "2024")
    expect(rows).to_have_count(3)

    page.keyboard.press("Escape")
    page.locator("#results").focus()
    page.keyboard.press("/")
    page.keyboard.type(" and (")
    page.keyboard.press("Enter")
    page.locator("#fault:has-text('column')").wait_for()
    other = visit(browser, address + "/#q=beach+and+(", faults)
    other.locator("#fault:has-text('column')").wait_for()
    border = other.locator("#results").evaluate("list => getComputedStyle(list).borderTopColor")
    assert border == "rgba(0, 0, 0, 0)"  # an empty frame would look like a result
    other.close()
    faults[:] = [fault for fault in faults if "400 (Bad Request)" not in fault]  # that is what was asked for

    page.click("nav [data-view=nodes]")
    page.locator("#node-rows .state.alive").wait_for()
    for size in SIZES:
        for scheme in ("light", "dark"):
            other = visit(browser, address, faults, size, scheme)
            other.locator("#results li[data-id]").first.wait_for()
            assert other.evaluate("document.documentElement.scrollWidth") == SIZES[size][0]
            other.close()
    assert faults == []


@pytest.mark.slow
@pytest.mark.limit(60)
def test_an_uploaded_page_does_not_run(browser: Any, address: str) -> None:
    """Opened directly, framed or named as something harmless, a user's HTML is saved or shown, never run as the site."""
    store(address, "evil.html", data=b"<script>document.title = 'ran'; fetch('/api/v1/delete')</script>")
    faults: list[str] = []
    page = visit(browser, address, faults)
    page.locator("#results li[data-id]").wait_for()
    link = page.get_attribute("#results a.button", "href").partition("?")[0]
    with page.expect_download() as download:
        page.evaluate("link => { location.href = link }", link)
    assert download.value.suggested_filename == "evil.html"
    assert page.title() == "tagfs"
