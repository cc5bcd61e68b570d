"""The page in a real browser: phone and desktop, dark and light, paper, without JavaScript, and hostile captions."""

import base64
import csv
import io
import json
import shutil
from pathlib import Path

import pytest

from focuslab.report.html.write import write_report
from tests import report_runs

CHROMIUM, DRIVER = (shutil.which(name) for name in ("chromium", "chromedriver"))
pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="chromium and chromedriver are not installed (Debian: chromium, chromium-driver)"
)
SIZES = {"phone": (390, 844), "desktop": (1280, 900)}
SCHEMES = ("light", "dark")
RULES = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]}}


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Path:
    """Every kind of run, of two models, with hostile captions and a hostile name. Screenshots are put beside it."""
    root = tmp_path_factory.mktemp("browser")
    report_runs.write_all(root / "one", report_runs.HOSTILE)
    report_runs.write_profile(root / "two", report_runs.HOSTILE[0], seconds=(10.0, 20.0))
    return write_report([root], root / "page.html")[0]


@pytest.fixture(scope="module")
def browser():
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--mute-audio"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    # A machine that does other things too is slow.
    driver.set_page_load_timeout(240)
    driver.set_script_timeout(240)
    yield driver
    driver.quit()


@pytest.fixture
def opened(browser, page):
    """opened(size, scheme) -> the browser with the page, its logs emptied before."""

    def open_page(size: str = "desktop", scheme: str = "light"):
        width, height = SIZES[size]
        look = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": size == "phone"}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", look)
        # Without motion a click finds its button where it is.
        features = {"prefers-color-scheme": scheme, "prefers-reduced-motion": "reduce"}
        emulated = [{"name": name, "value": value} for name, value in features.items()]
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": emulated})
        for log in ("browser", "performance"):
            browser.get_log(log)
        browser.get(page.as_uri())
        return browser

    yield open_page
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def requested(browser) -> set[str]:
    """What the page asked for, without what lies in it."""
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    sent = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    return {url for url in sent if not url.startswith("data:")}


def screenshot(browser, path: Path) -> None:
    width, height = browser.execute_script("return [innerWidth, document.documentElement.scrollHeight]")
    clip = {"x": 0, "y": 0, "width": width, "height": min(height, 16_000), "scale": 1}
    taken = browser.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True, "clip": clip})
    path.write_bytes(base64.b64decode(taken["data"]))


def every(browser, selector: str, holds: str) -> bool:
    """Whether there are such elements, and `holds`, JavaScript on `e`, is true of each."""
    script = f"const all = [...document.querySelectorAll(arguments[0])]; return all.length && all.every(e => {holds})"
    return bool(browser.execute_script(script, selector))


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("size", SIZES)
def test_it_opens_without_an_error_or_a_request_and_fits(opened, page, size, scheme):
    driver = opened(size, scheme)
    assert driver.get_log("browser") == []
    assert requested(driver) == {page.as_uri()}
    assert driver.title.endswith("focuslab")
    assert driver.execute_script("return document.documentElement.scrollWidth <= innerWidth")
    assert every(driver, "audio", "e.paused && !e.currentTime && !e.autoplay")
    background = driver.execute_script("return getComputedStyle(document.body).backgroundColor")
    levels = [int(part) for part in background.removeprefix("rgb(").removesuffix(")").split(",")]
    assert min(levels) > 240 if scheme == "light" else max(levels) < 40
    # Figures are drawn for white paper.
    assert every(driver, ".card", "getComputedStyle(e).backgroundColor === 'rgb(255, 255, 255)'")
    taken = page.with_name(f"{size}-{scheme}.png")
    screenshot(driver, taken)
    assert taken.stat().st_size > 50_000


@pytest.mark.parametrize("size, scheme", [("phone", "dark"), ("desktop", "light")])
def test_axe_finds_nothing_to_object_to(opened, size, scheme):
    from selenium_axe_python import Axe

    driver = opened(size, scheme)
    driver.execute_script("for (const details of document.querySelectorAll('details')) details.open = true")
    axe = Axe(driver)
    axe.inject()
    found = axe.run(options=RULES)
    assert {"color-contrast", "heading-order", "image-alt"} <= {rule["id"] for rule in found["passes"]}
    assert found["violations"] == [], axe.report(found["violations"])


TABLE = "document.querySelectorAll('#time .group table')[0]"


def test_tables_sort_with_missing_values_last(opened):
    driver = opened()
    names = driver.execute_script(f"return [...{TABLE}.tHead.rows[0].cells].map(cell => cell.dataset.csv)")

    def values(name: str) -> list[str]:
        script = f"return [...{TABLE}.tBodies[0].rows].map(row => row.cells[arguments[0]].dataset.value)"
        return driver.execute_script(script, names.index(name))

    def head(name: str):
        return driver.execute_script(f"return {TABLE}.tHead.rows[0].cells[arguments[0]]", names.index(name))

    share, ideal = "Self-att. time [1]", "Ideal speed"
    before = [float(value) for value in values(share)]
    head(share).find_element("tag name", "button").click()
    assert head(share).get_attribute("aria-sort") == "ascending"
    assert [float(value) for value in values(share)] == sorted(before) != before
    measured = sorted(float(value) for value in values(ideal) if value)
    for order, expected in (("ascending", measured), ("descending", measured[::-1])):
        head(ideal).find_element("tag name", "button").click()
        assert head(ideal).get_attribute("aria-sort") == order and not head(share).get_attribute("aria-sort")
        after = values(ideal)
        assert [float(value) for value in after[: len(measured)]] == expected
        assert set(after[len(measured) :]) == {""}
    head("Method").find_element("tag name", "button").send_keys(" ")
    assert values("Method") == sorted(values("Method"))


def test_a_table_is_copied_as_unrounded_csv(opened):
    driver = opened()
    driver.execute_script(
        "Object.defineProperty(navigator, 'clipboard',"
        " {value: {writeText: text => { window.copied = text; return Promise.resolve(); }}})"
    )
    buttons = driver.find_elements("css selector", "#time > .table button.plain")
    assert [button.text for button in buttons] == ["Copy as CSV"]
    buttons[0].click()
    rows = list(csv.reader(io.StringIO(driver.execute_script("return window.copied"))))
    assert rows[0][:2] == ["Model", "Length [s]"] and rows[0][-2:] == ["Made on", "Run"]
    assert {row[0] for row in rows[1:]} == {"made-up", report_runs.HOSTILE[0]}
    summary = report_runs.profile_summary((10.0, 20.0))
    dense = [row["step_seconds_median"] for row in summary["rows"] if row["method"] == "dense"]
    column = rows[0].index("Dense step [s]")
    assert [float(row[column]) for row in rows[1:] if row[0] == report_runs.HOSTILE[0]] == dense


def test_text_that_a_spreadsheet_would_run_is_copied_as_text(opened):
    driver = opened()
    driver.execute_script(
        "Object.defineProperty(navigator, 'clipboard',"
        " {value: {writeText: text => { window.copied = text; return Promise.resolve(); }}});"
        "const cells = document.querySelector('#time > .table').querySelectorAll('tbody td');"
        "cells[0].dataset.value = '=1+1'; cells[1].dataset.value = '-2.5'; cells[2].dataset.value = 'a,\"b\"';"
    )
    driver.find_element("css selector", "#time > .table button.plain").click()
    copied = driver.execute_script("return window.copied")
    assert copied.splitlines()[1].startswith('\'=1+1,-2.5,"a,""b""",')


def test_captions_are_shown_and_do_nothing(opened):
    driver = opened()
    assert driver.title.endswith("focuslab") and driver.execute_script("return document.scripts.length") == 1
    shown = driver.execute_script("return [...document.querySelectorAll('.prompt')].map(e => e.textContent)")
    for caption in report_runs.HOSTILE:
        assert caption in shown
    assert driver.get_log("browser") == []
    script = "return [...document.querySelectorAll('.prompt')].map(e => getComputedStyle(e).direction)"
    directions = driver.execute_script(script)
    assert {d for d, text in zip(directions, shown, strict=True) if text == report_runs.HOSTILE[3]} == {"rtl"}
    assert {d for d, text in zip(directions, shown, strict=True) if text != report_runs.HOSTILE[3]} == {"ltr"}


def test_a_script_that_got_in_would_not_run(opened):
    """The page's policy stands behind the escaping."""
    driver = opened()
    driver.execute_script(
        "document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"document.title = 1\">');"
        "const s = document.createElement('script'); s.textContent = 'document.title = 2'; document.body.append(s);"
    )
    assert driver.title not in ("1", "2")
    assert "Content Security Policy" in " ".join(entry["message"] for entry in driver.get_log("browser"))


def test_clips_can_be_played_one_at_a_time(opened):
    driver = opened()
    seconds = driver.execute_async_script(
        "const done = arguments[0], all = [...document.querySelectorAll('audio')];"
        "Promise.all(all.map(e => new Promise(r => { e.onloadedmetadata = () => r(e.duration); e.onerror = () => r(-1);"
        " e.preload = 'metadata'; e.load(); }))).then(done);"
    )
    assert len(seconds) >= 10 and set(seconds) == {1, 2}
    assert driver.execute_script(
        "const [one, other] = document.querySelectorAll('audio'); let paused = false;"
        "other.pause = () => { paused = true; }; one.dispatchEvent(new Event('play')); return paused;"
    )


def test_without_javascript_all_of_it_is_there(browser, opened):
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    driver = opened()
    assert driver.find_elements("css selector", "button") == []
    assert len(driver.find_elements("css selector", "table")) > 8
    assert driver.find_elements("css selector", "audio[controls]")
    details = driver.find_element("css selector", "#time details.made")
    assert details.get_dom_attribute("open") is None
    details.find_element("tag name", "summary").click()
    assert details.get_dom_attribute("open") is not None and "Versions" in details.text


def test_on_paper_nothing_is_hidden_and_it_is_a_pdf(opened, page):
    driver = opened()
    printed = base64.b64decode(driver.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True})["data"])
    assert printed.startswith(b"%PDF") and len(printed) > 100_000
    page.with_suffix(".pdf").write_bytes(printed)
    assert every(driver, "details", "!e.open")
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    driver.execute_script("dispatchEvent(new Event('beforeprint'))")
    assert every(driver, "details", "e.open") and every(driver, "nav, audio", "!e.getClientRects().length")
    driver.execute_script("dispatchEvent(new Event('afterprint'))")
    assert every(driver, "details", "!e.open")
