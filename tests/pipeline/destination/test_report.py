"""The report: counts and causes, hostile names that stay text, and a gallery that works in a browser."""

from __future__ import annotations

import html
import json
import re
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pipeline.destination.ledger import Ledger
from pipeline.destination.report import NAME, write_report
from pipeline.destination.run_records import RunRecords
from pipeline.storage.storage import Storage
from stages.contracts import Row
from tests.support.ledger import START, failed, manifest, row
from tests.support.videos import gray, write_video

HOSTILE = "</script><img src=x onerror=document.title='caught'>&\"'\u2028 映像"
CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)


def sidecar(cuts: list[float]) -> bytes:
    return json.dumps(
        {
            "cuts": cuts,
            "rhythm": [0.5, 2.0, 1.0],
            "levels": [10, 90, 40],
            "loudness": -14,
            "true_peak": -1.5,
            "speech": [[0.5, 1.25]],
        }
    ).encode()


@pytest.fixture(scope="module")
def destination(tmp_path_factory: pytest.TempPathFactory) -> Storage:
    """61 results, one of them a video that can be played, and three failures of two causes."""
    storage = Storage.open(tmp_path_factory.mktemp("out"))
    names = [f"clip{i:02}" for i in range(60)] + [HOSTILE.replace("/", "_")]
    wanted = [*names, "bad1", "bad2", "late"]
    RunRecords(storage).begin(manifest(*wanted), "F", {"seed": 7})
    rows: list[Row] = []
    for number, name in enumerate(names):
        outputs = [storage.write(f"{name}.mp4", b"no video"), storage.write(f"{name}.json", sidecar([0.5, 1.5]))]
        rows.append(row(name, number) | {"output": f"{name}.mp4", "outputs": outputs, "duration": 2.0})
    coding = ("-c:v", "libvpx", "-deadline", "realtime", "-pix_fmt", "yuv420p")
    video = write_video(
        tmp_path_factory.mktemp("v") / "v.webm", [gray(4 * i) for i in range(50)], coding=coding, sound=True
    )
    shutil.move(video, Path(storage.root) / "clip00.mp4")
    rows += [failed("bad1", 61), failed("bad2", 62), failed("late", 63) | {"error_type": "Timeout", "stage": "deliver"}]
    rows[-1]["error_message"] = "<b>slow</b>"
    Ledger(storage).append(rows)
    return storage


@pytest.fixture(scope="module")
def page(destination: Storage) -> str:
    assert write_report(destination) == destination.uri(NAME)
    return destination.read(NAME).decode()


def data_of(page: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    loaded: dict[str, Any] = json.loads(found[1])
    return loaded


def test_counts_causes_and_commands(page: str, destination: Storage) -> None:
    text = html.unescape(re.sub(r"<script.*?</script>|<style.*?</style>", "", page, flags=re.DOTALL))
    tiles = dict(re.findall(r'<div class="tile (\w+)"><b>([\d.]+)</b>', text))
    assert tiles == {"videos": "64", "done": "61", "failed": "3", "waiting": "0", "attempts": "64", "minutes": "2.0"}
    assert "<b>2</b> NotAVideo in decode" in text
    assert f"diff-v2m retry {destination.url} --failed" in text
    assert f"<code>diff-v2m retry {destination.url}</code>" in text  # an error that another try may not meet
    assert len(re.findall("<rect", page)) == 60 + 1


def test_text_from_a_file_is_never_markup(page: str) -> None:
    assert "<img" not in page
    assert "<b>slow" not in page
    assert len(re.findall("<script", page)) == 2
    assert len(re.findall("</script", page)) == 2
    names = [item["name"] for item in data_of(page)["items"]]
    assert any("onerror" in name for name in names)


def test_the_gallery_knows_cuts_rhythm_and_levels(page: str) -> None:
    items = {item["name"]: item for item in data_of(page)["items"]}
    assert items["clip07.mp4"]["cuts"] == [0.5, 1.5]
    assert items["clip07.mp4"]["rhythm"] == [0, 100, 33]
    assert items["clip07.mp4"]["levels"] == [10, 90, 40]
    assert items["clip07.mp4"]["loudness"] == "-14.0 LUFS, -1.5 dBTP"
    assert items["clip07.mp4"]["speech"] == [[0.5, 1.25]]
    assert items["clip07.mp4"]["links"] == ["clip07.mp4", "clip07.json"]
    assert items["late.mp4"]["error"] == "Timeout in deliver: <b>slow</b>"


def test_a_page_elsewhere_links_to_the_destination(destination: Storage, tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    assert write_report(destination, out) == str(out)
    link = next(item["links"][0] for item in data_of(out.read_text())["items"] if item["links"])
    assert link.startswith(f"{Path(destination.root).as_uri()}/")


def test_unusable_sidecars_are_left_out(tmp_path: Path) -> None:
    storage = Storage.open(tmp_path)
    RunRecords(storage).begin(manifest("a", "b"), "F", {})
    outputs = [storage.write("a.json", b'{"cuts": "no", "rhythm": [], "levels": [1]}')]
    gone = [{"name": "gone.json", "size": 1, "sha256": "0"}]
    Ledger(storage).append([row("a", 0) | {"outputs": outputs}, row("b", 1) | {"outputs": gone}])
    write_report(storage)
    assert [item.get("levels") for item in data_of(storage.read(NAME).decode())["items"]] == [None, None]


def test_five_thousand_results_stay_one_small_page(tmp_path: Path) -> None:
    storage, count = Storage.open(tmp_path), 5000
    names = [f"clip{i}" for i in range(count)]
    RunRecords(storage).begin(manifest(*names), "F", {})
    outputs = [storage.write("one.json", json.dumps(json.loads(sidecar([1.0])) | {"levels": [50] * 240}).encode())]
    span = timedelta(seconds=1)
    rows = [row(name, 0) | {"outputs": outputs, "finished": START + i * span} for i, name in enumerate(names)]
    Ledger(storage).append(rows)
    write_report(storage)
    size = storage.size(NAME)
    assert size is not None
    assert size < 8 << 20
    assert storage.read(NAME).count(b"<rect") <= 61


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")
def test_a_browser_turns_pages_filters_and_plays(destination: Storage, page: str, tmp_path: Path) -> None:
    from playwright.sync_api import expect, sync_playwright

    with sync_playwright() as running:
        browser = running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 1280, "height": 1600})
        faults: list[str] = []
        tab.on("pageerror", lambda error: faults.append(str(error)))
        tab.on("console", lambda line: faults.append(line.text) if line.type == "error" else None)
        tab.goto((Path(destination.root) / NAME).as_uri())
        expect(tab.locator(".place")).to_have_text("64 of 64, page 1 of 3")
        expect(tab.locator(".card")).to_have_count(24)
        expect(tab.locator("video")).to_have_count(0)
        tab.screenshot(path=str(tmp_path / "report.png"))
        assert (tmp_path / "report.png").stat().st_size > 20_000
        drawn = tab.evaluate(
            "() => { const c = document.querySelector('canvas');"
            " return c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some((x) => x > 0); }"
        )
        assert drawn
        tab.locator("button.next").click()
        tab.locator("button.next").click()
        expect(tab.locator(".place")).to_have_text("64 of 64, page 3 of 3")
        expect(tab.locator("button.next")).to_be_disabled()
        tab.locator("input").fill("slow")
        expect(tab.locator(".card")).to_have_count(1)
        expect(tab.locator(".card .error")).to_have_text("Timeout in deliver: <b>slow</b>")
        tab.locator("input").fill("onerror")
        expect(tab.locator(".card")).to_have_count(1)
        tab.locator("input").fill("")
        tab.get_by_label("state").select_option("failed")
        expect(tab.locator(".place")).to_have_text("3 of 64, page 1 of 1")
        tab.get_by_label("state").select_option("done")
        tab.locator("input").fill("clip00")
        tab.locator("button.play").click()
        tab.wait_for_function("() => document.querySelector('video').readyState >= 2")
        tab.wait_for_function("() => document.querySelector('video').currentTime > 0.1")
        tab.locator("details").first.locator("summary").click()
        expect(tab.locator("details").first.locator("code")).to_be_visible()
        assert tab.title().startswith("diff-v2m: ")
        assert faults == []
        browser.close()
