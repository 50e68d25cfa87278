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
    page.fill("#rename", "a/b")
    page.click("dialog button:has-text('Rename')")
    page.click(".toast:has-text('a/b') button")  # what is wrong is said in sight, not behind the dialog
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

    # Whoever chooses files keeps the list as it is: rows tell of changes from elsewhere where they stand.
    page.check("#results li:has-text('new.bin') input")
    expect(page.locator("#chosen")).to_have_text("1 chosen")
    changing = urllib.request.Request(
        f"{address}/api/v1/retag",
        data=b'{"query": "name:bay.png", "add_tags": ["from-afar"]}',
        headers={"Content-Type": "application/json"},
    )
    urllib.request.urlopen(changing).close()
    page.locator("#results li:has-text('bay.png') .tag:has-text('from-afar')").wait_for()
    assert page.is_checked("#results li:has-text('new.bin') input") and page.is_visible("#fresh")
    page.fill("#bulk-tags", "chosen")
    page.click("#retag button[value=add]")
    page.locator("#results li:has-text('new.bin') .tag:has-text('chosen')").wait_for()
    expect(page.locator("#bulk")).to_be_hidden()
    page.click("#results .name >> nth=0")
    page.locator("#details .danger").wait_for()
    page.keyboard.press("Escape")

    page.evaluate("""() => {
        const carried = new DataTransfer();
        carried.items.add(new File(["dropped"], "dropped.txt", { type: "text/plain" }));
        dispatchEvent(new DragEvent("drop", { dataTransfer: carried }));
    }""")
    page.locator("#upload-rows li.done:has-text('dropped.txt')").wait_for()
    expect(rows).to_have_count(4)
    page.click("#uploads-close")

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


@pytest.mark.slow
@pytest.mark.limit(60)
def test_a_drawing_is_shown_and_does_not_run(browser: Any, address: str) -> None:
    """An SVG drawing is its own small picture, in the list and large; scripts in it do not run, a broken one has a sign.
    Its long name leaves room for the buttons of what is said about it."""
    start = b"<svg xmlns='http://www.w3.org/2000/svg' width='40' height='20'>"
    store(
        address,
        "a_drawing_that_has_a_long_name_without_spaces.svg",
        data=start + b"<rect width='9' height='9'/><script>top.document.title = 'ran'</script></svg>",
    )
    store(address, "broken.svg", data=start + b"<rect>")
    faults: list[str] = []
    page = visit(browser, address, faults, "phone")
    shown = page.locator("#results li:has-text('a_drawing_that_has_a_long_name_without_spaces.svg') img.drawing")
    assert shown.evaluate("image => image.decode().then(() => [image.naturalWidth, image.naturalHeight])") == [40, 20]
    page.locator("#results li:has-text('broken.svg') span.sign").wait_for()
    page.click("#results .name:has-text('a_drawing_that_has_a_long_name_without_spaces.svg')")
    large = page.locator("#details img.drawing")
    assert large.evaluate("image => image.decode().then(() => image.naturalWidth)") == 40
    assert page.title() == "tagfs"
    page.click("#details .danger")
    close = page.locator(".toast button:last-child")
    close.wait_for()
    assert (close.bounding_box() or {})["x"] + (close.bounding_box() or {})["width"] < SIZES["phone"][0]
    assert faults == []


@pytest.mark.slow
@pytest.mark.limit(60)
def test_with_users_one_logs_in_and_out(browser: Any, tmp_path: Path) -> None:
    """Sent to the log-in page and back to where one wanted to go; a wrong password says so; changes carry the token; after the
    log-out nothing is shown; who may only read is not offered more."""
    expect = pytest.importorskip("playwright.sync_api").expect
    node = NodeProcess(tmp_path / "data")
    node.start()
    try:
        address = str(node.facts["web"])
        store(address, "sea.txt", "beach")
        with node.connect() as tag:
            tag.sendall(
                b"USER-ADD root admin\r\nsecret\r\nUSER root\r\nPASS secret\r\nUSER-ADD ann read\r\nword\r\nQUIT\r\n"
            )
            while tag.recv(65536):
                pass
        faults: list[str] = []
        page = visit(browser, f"{address}/#q=beach", faults, "phone")
        expect(page).to_have_title("Log in – tagfs")
        page.fill("#name", "root")
        page.fill("#password", "wrong")
        page.keyboard.press("Enter")
        page.locator("#fault:has-text('do not go together')").wait_for()
        page.fill("#password", "secret")
        page.keyboard.press("Enter")
        rows = page.locator("#results li[data-id]")
        expect(rows).to_have_count(1)
        expect(page.locator("#query")).to_have_value("beach")
        expect(page.locator("#who")).to_have_text("root")
        page.click("#results .name")
        page.click("#details .danger")
        expect(rows).to_have_count(0)
        page.click(".toast button:has-text('Undo')")
        expect(rows).to_have_count(1)
        page.set_input_files("#choose", [{"name": "new.txt", "mimeType": "", "buffer": b"z"}])
        page.locator("#upload-rows li.done").wait_for()
        page.click("#log-out")
        expect(page).to_have_title("Log in – tagfs")
        page.goto(address)
        expect(page).to_have_title("Log in – tagfs")
        page.fill("#name", "ann")
        page.fill("#password", "word")
        page.keyboard.press("Enter")
        expect(rows).to_have_count(2)
        expect(page.locator("#upload")).to_be_hidden()
        page.context.clear_cookies()
        page.fill("#query", "new")
        page.keyboard.press("Enter")
        expect(page).to_have_title("Log in – tagfs")
        assert [fault for fault in faults if "401 (Unauthorized)" not in fault] == []
    finally:
        node.stop()
