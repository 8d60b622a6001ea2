"""The page in a real browser: Debian's chromium and its driver, through selenium.

Covers ``report.html.page``.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hostile_run import HALF, INT8, MOST, RELATION, SCRIPT, write_hostile_run
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select, WebDriverWait

from forgetmeter.report.written_report import make_report, write_report
from forgetmeter.results.gate.gating import gate
from forgetmeter.results.results import open_run

MISSING = "no chromium and chromedriver here; install them with: apt-get install chromium chromium-driver"
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--hide-scrollbars", "--disable-dev-shm-usage"),
)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("browser") / "run"
    known = [True] * 60 + [False] * 10
    write_hostile_run(
        str(folder),
        {
            "baseline": known,
            HALF: [place >= 5 and right for place, right in enumerate(known)],
            MOST: [place % 9 == 0 for place in range(70)],
            INT8: [*known[:-1], True],
        },
    )
    return Path(write_report(make_report(open_run(str(folder))), str(folder)))


@pytest.fixture(scope="module")
def driver() -> Iterator[webdriver.Chrome]:
    browser, its_driver = shutil.which("chromium"), shutil.which("chromedriver")
    if browser is None or its_driver is None:
        pytest.fail(MISSING) if os.environ.get("CI") else pytest.skip(MISSING)
    options = Options()
    options.binary_location = browser
    for flag in FLAGS:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    started = webdriver.Chrome(options=options, service=Service(its_driver))
    yield started
    started.quit()


@pytest.fixture
def opened(driver: webdriver.Chrome, page: Path) -> Iterator[webdriver.Chrome]:
    size(driver, 1280)
    driver.get_log("browser"), driver.get_log("performance")
    driver.get(page.as_uri())
    yield driver
    # Only if something is stored: clearing may take effect after the next page has stored something.
    driver.execute_script("try { if (localStorage.length) localStorage.clear() } catch (error) {}")
    severe = [entry for entry in driver.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]
    assert not severe


def size(driver: webdriver.Chrome, width: int) -> None:
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def rows(driver: webdriver.Chrome) -> list[str]:
    # In one step, since the page may replace its rows at any time.
    script = "return Array.from(document.querySelectorAll('#ledger-table tbody tr'), (row) => row.innerText)"
    found: list[str] = driver.execute_script(script)
    return found


def background(driver: webdriver.Chrome) -> str:
    return str(driver.execute_script("return getComputedStyle(document.body).backgroundColor"))


def search(driver: webdriver.Chrome, text: str, *, number: int) -> list[str]:
    field = driver.find_element(By.ID, "ledger-search")
    field.clear()
    field.send_keys(text)
    WebDriverWait(driver, 5).until(lambda _: len(rows(driver)) == number)
    return rows(driver)


def requests(driver: webdriver.Chrome) -> list[str]:
    messages: list[dict[str, Any]] = [
        json.loads(entry["message"])["message"] for entry in driver.get_log("performance")
    ]
    return [
        message["params"]["request"]["url"] for message in messages if message["method"] == "Network.requestWillBeSent"
    ]


def test_nothing_is_fetched_but_the_page_itself(opened: webdriver.Chrome, page: Path) -> None:
    fetched = [url for url in requests(opened) if not url.startswith("data:")]
    assert fetched == [page.as_uri()]


def test_markup_in_the_data_is_text_and_nothing_runs(opened: webdriver.Chrome) -> None:
    assert any(SCRIPT in row for row in rows(opened))
    assert opened.execute_script("return window.hacked") is None
    assert not opened.find_elements(By.CSS_SELECTOR, "img, main script, td b, td i")
    # The page's own three: theme, data, page.
    assert len(opened.find_elements(By.TAG_NAME, "script")) == 3


def test_even_a_script_that_got_in_would_not_run(opened: webdriver.Chrome) -> None:
    opened.execute_script(
        "const script = document.createElement('script'); script.textContent = 'window.hacked = 3';"
        "document.body.append(script);"
    )
    assert opened.execute_script("return window.hacked") is None
    opened.get_log("browser")  # where the refusal is logged


def test_the_ledger_is_searched_by_text_recipe_kind_and_relation(opened: webdriver.Chrome) -> None:
    found = search(opened, "2'> 17 was", number=1)
    assert "90% pruned" in found[0]
    search(opened, "no such thing", number=0)
    assert opened.find_element(By.ID, "ledger-count").text == "No matches: forgotten."
    search(opened, "", number=50)
    opened.find_element(By.ID, "ledger-more").click()
    assert len(rows(opened)) == 5 + 60 - 7
    Select(opened.find_element(By.ID, "ledger-recipe")).select_by_value(HALF)
    assert len(rows(opened)) == 5
    Select(opened.find_element(By.ID, "ledger-relation")).select_by_visible_text(f"{RELATION} 1")
    assert len(rows(opened)) == 2
    Select(opened.find_element(By.ID, "ledger-recipe")).select_by_value("")
    Select(opened.find_element(By.ID, "ledger-kind")).select_by_value("gained")
    # The 70th item by int8, the 64th by 90% pruning.
    assert len(rows(opened)) == 2


def test_the_ledger_is_searched_by_relation_and_recipe(opened: webdriver.Chrome) -> None:
    Select(opened.find_element(By.ID, "ledger-recipe")).select_by_value(HALF)
    assert len(search(opened, "p1", number=2)) == 2
    # Words are found in the relation, the question and the right answer.
    assert len(search(opened, f'{RELATION.upper()} 3 "QUOTED" CITY', number=1)) == 1
    Select(opened.find_element(By.ID, "ledger-recipe")).select_by_value("")
    assert all("50% pruned" in row for row in search(opened, "50% PRUNED", number=5))


def test_facts_forgotten_in_only_some_phrasings_can_be_selected(
    driver: webdriver.Chrome, tmp_path_factory: pytest.TempPathFactory
) -> None:
    # Facts in two phrasings: both are forgotten of the first fact, one of the second.
    folder = tmp_path_factory.mktemp("phrasings") / "run"
    right = {"baseline": [True] * 8, HALF: [False, False, True, False, True, True, True, True]}
    write_hostile_run(str(folder), right, recipes=("baseline", HALF), phrasings=2)
    size(driver, 1280)
    driver.get(Path(write_report(make_report(open_run(str(folder))), str(folder))).as_uri())
    kind = Select(driver.find_element(By.ID, "ledger-kind"))
    cells = driver.find_elements(By.CSS_SELECTOR, "#ledger-table td.elsewhere")
    assert [cell.text for cell in cells] == ["wrong", "wrong", "right"]
    kind.select_by_value("elsewhere")
    assert len(rows(driver)) == 1
    assert " 3 was born in" in rows(driver)[0]
    kind.select_by_value("nowhere")
    assert len(rows(driver)) == 2
    search(driver, "such nonsense", number=0)
    assert driver.find_element(By.ID, "ledger-count").text == "No matches: forgotten in all phrasings."


def test_the_ledger_is_sorted_by_a_column_from_the_keyboard(opened: webdriver.Chrome) -> None:
    Select(opened.find_element(By.ID, "ledger-recipe")).select_by_value(HALF)
    heading = opened.find_element(By.CSS_SELECTOR, "#ledger-table th[data-key=rank]")
    button = heading.find_element(By.TAG_NAME, "button")
    button.send_keys("\n")
    ranks = [int(cell.text) for cell in opened.find_elements(By.CSS_SELECTOR, "#ledger-table td.rank")]
    assert heading.get_attribute("aria-sort") == "ascending"
    assert ranks == sorted(ranks) == [2, 3, 4, 5, 6]
    button.send_keys("\n")
    assert [int(cell.text) for cell in opened.find_elements(By.CSS_SELECTOR, "#ledger-table td.rank")] == ranks[::-1]


def test_a_table_of_numbers_is_sorted_by_value(opened: webdriver.Chrome) -> None:
    opened.execute_script("document.querySelectorAll('details').forEach((each) => (each.open = true))")
    table = next(
        each
        for each in opened.find_elements(By.CSS_SELECTOR, "#numbers table")
        if "retained" in each.text.split("\n")[0]
    )
    headings = [each.text.split(" ")[0] for each in table.find_elements(By.CSS_SELECTOR, "thead th")]
    place = headings.index("retained")
    table.find_elements(By.CSS_SELECTOR, "thead button")[place].click()
    values = [
        row.find_elements(By.CSS_SELECTOR, "th, td")[place].text
        for row in table.find_elements(By.CSS_SELECTOR, "tbody tr")
    ]
    assert values == ["11.7%", "91.7%", "100.0%", "—"]


def test_the_theme_can_be_switched_and_is_remembered(opened: webdriver.Chrome) -> None:
    opened.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": "light"}]}
    )
    light = background(opened)
    Select(opened.find_element(By.ID, "theme")).select_by_value("dark")
    dark = background(opened)
    assert light == "rgb(255, 255, 255)"
    assert dark != light

    def remembered(_: object) -> bool:
        # A busy browser may store it late, or only now clear what the previous page stored.
        Select(opened.find_element(By.ID, "theme")).select_by_value("dark")
        opened.refresh()
        return background(opened) == dark

    WebDriverWait(opened, 5).until(remembered)
    Select(opened.find_element(By.ID, "theme")).select_by_value("auto")
    assert background(opened) == light
    opened.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    )
    assert background(opened) == dark
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


@pytest.mark.parametrize("width", [320, 390, 1280])
def test_the_page_is_never_wider_than_the_screen(opened: webdriver.Chrome, width: int) -> None:
    size(opened, width)
    opened.execute_script("document.querySelectorAll('details').forEach((each) => (each.open = true))")
    assert opened.execute_script("return document.documentElement.scrollWidth") <= width


def test_headings_are_in_order_and_every_drawing_has_a_description(opened: webdriver.Chrome) -> None:
    levels = [int(each.tag_name[1]) for each in opened.find_elements(By.CSS_SELECTOR, "h1, h2, h3, h4")]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    drawings = opened.find_elements(By.CSS_SELECTOR, "svg")
    assert drawings
    assert all(len(each.get_attribute("aria-label") or "") > 40 for each in drawings)
    assert len(opened.find_elements(By.CSS_SELECTOR, "figure details table")) == len(drawings)
    ids = opened.execute_script("return Array.from(document.querySelectorAll('[id]'), (each) => each.id)")
    assert len(ids) == len(set(ids))


def test_touching_a_point_shows_its_text(opened: webdriver.Chrome) -> None:
    point = opened.find_element(By.CSS_SELECTOR, ".hero svg .mark:last-of-type")
    opened.execute_script("arguments[0].dispatchEvent(new MouseEvent('click', {bubbles: true, clientX: 50}))", point)
    tip = opened.find_element(By.CSS_SELECTOR, ".tip")
    assert "90.0% pruned: 11.7% retained" in tip.text


@pytest.fixture(scope="module")
def gated(page: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    results = open_run(str(page.parent))
    found = gate(results, margin="3pt", min_retained="97%")
    folder = tmp_path_factory.mktemp("gated")
    return Path(write_report(make_report(results, gate=found), str(folder)))


@pytest.mark.parametrize("width", [390, 1280])
def test_the_first_screen_answers_the_readers_question(driver: webdriver.Chrome, gated: Path, width: int) -> None:
    size(driver, width)
    driver.get(gated.as_uri())
    script = """const box = (element) => element.getBoundingClientRect();
        return Array.from(document.querySelectorAll('.overview, .decision'),
            (each) => [box(each).top, box(each).right, each.innerText])"""
    overview, *cards = driver.execute_script(script)
    # Whether to ship comes before everything else, and is seen without scrolling.
    assert "variants may ship" in overview[2]
    assert overview[0] < cards[0][0] < 450
    assert all(right <= width for _, right, _ in cards)
    said = cards[0][2]
    assert said.startswith(("Ship it.", "Do not ship it.", "Cannot tell"))
    assert "It forgot 5 of the 60 facts that the original gets right (8.3%)." in said
    assert "retained ≥ 97%" in said
    assert said.count("→") == 3
    assert driver.execute_script("return document.documentElement.scrollWidth") <= width
