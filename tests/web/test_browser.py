"""The page in a real browser: what stands on screen is what the command line prints, and nothing is asked elsewhere."""

import json
import shutil
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from typer.testing import CliRunner

from glintbox.cli.main import app
from glintbox.ground import Grounder
from glintbox.web.asking import Limits
from tests.web.scripted_page import HIGH, WIDE, a_grounder, a_picture

pytest.importorskip("selenium", reason="selenium is not installed")
uvicorn = pytest.importorskip("uvicorn")
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")

from selenium import webdriver  # noqa: E402  # after the skip
from selenium.webdriver.common.action_chains import ActionChains  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.support.ui import Select, WebDriverWait  # noqa: E402

from glintbox.web.server import Page, names_of  # noqa: E402

pytestmark = [
    pytest.mark.slow,
    pytest.mark.browser,
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="chromium or chromedriver is not installed"),
]

OWL = Path(__file__).parents[2] / "examples" / "images" / "scene-15-owl.jpg"
COORDS = ["x1", "y1", "x2", "y2"]
LIMIT = 2**20
"""Largest upload, bytes."""
PATIENCE_S = 120
"""For one question, on a machine that is busy with other tests."""


@contextmanager
def served(grounder: Grounder) -> Iterator[str]:
    """The address of a page of this model, on any free port."""
    page = Page(grounder, Limits(bytes=LIMIT), waiting=4, memory=10**8)
    server = uvicorn.Server(uvicorn.Config(page.app(names_of("127.0.0.1")), log_level="warning"))
    with socket.create_server(("127.0.0.1", 0)) as bound, ThreadPoolExecutor(1) as thread:
        ended = thread.submit(server.run, [bound])
        try:
            yield f"http://127.0.0.1:{bound.getsockname()[1]}/"
        finally:
            server.should_exit = True
        ended.result()


@pytest.fixture(scope="module")
def scripted() -> Iterator[str]:
    with served(a_grounder(artefacts=True)) as address:
        yield address


@pytest.fixture(scope="module")
def chromium() -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for word in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1280,900"):
        options.add_argument(word)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))  # so that none is downloaded
    yield driver
    driver.quit()


@pytest.fixture
def cup(tmp_path: Path) -> Path:
    """The picture that the scripted model is asked about."""
    (tmp_path / "cup.png").write_bytes(a_picture())
    return tmp_path / "cup.png"


class Screen:
    """The page as a user sees it."""

    def __init__(self, driver: Any, address: str) -> None:
        self.driver, self.address = driver, address
        self.requests(), self.complaints()  # those of the page before
        driver.get(address)
        self.until("return document.body.dataset.ready")

    def until(self, script: str) -> Any:
        """Wait until a script of the page returns something, and return that."""
        return WebDriverWait(self.driver, PATIENCE_S, 0.1).until(lambda driver: driver.execute_script(script))

    def all(self, style: str) -> list[Any]:
        found: list[Any] = self.driver.find_elements(By.CSS_SELECTOR, style)
        return found

    def one(self, style: str) -> Any:
        [found] = self.all(style)
        return found

    def find(self, picture: Path, query: str, *, temperatures: str = "0.7, 1") -> None:
        """Upload a picture by hand, say what to find, and wait until the answer or the reason for none stands there."""
        if self.one("#sampling").is_displayed():
            self.one("#sampling").click()
            for word, value in {"n": "4", "temperatures": temperatures, "seed": "3"}.items():
                self.write(word, value)
        self.write("query", query)
        self.one("#file").send_keys(str(picture))
        self.one("#go").click()
        self.until("return ['result', 'error'].some((id) => !document.getElementById(id).hidden)")
        self.until("return document.getElementById('progress').hidden")

    def choose(self, selector: str, temperature: str, *, several: bool = False) -> None:
        """Switch, and wait until what is chosen then stands there."""
        Select(self.one("#selector")).select_by_value(selector)
        self.one(f"#temperature input[value='{temperature}']").click()
        if several != self.one("#multiple").is_selected():
            self.one("#multiple").click()
        words = f"{selector} {temperature} {str(several).lower()}"
        self.until(f"return document.body.dataset.choice === '{words}'")

    def write(self, name: str, value: str) -> None:
        self.one(f"#{name}").clear()
        self.one(f"#{name}").send_keys(value)

    def drawn(self, kind: str) -> list[list[float]]:
        """Boxes of a kind in px of the picture, from where they lie on the screen."""
        picture = self.one("#picture")
        left, top, scale = (
            picture.rect["x"],
            picture.rect["y"],
            picture.get_property("naturalWidth") / picture.rect["width"],
        )
        places = [one.rect for one in self.all(f"#boxes rect.{kind}")]
        corners = [(at["x"] - left, at["y"] - top, at["width"], at["height"]) for at in places]
        return [[scale * value for value in (x, y, x + width, y + height)] for x, y, width, height in corners]

    def painted(self, canvas: Any) -> str:
        """All that is painted on a canvas."""
        image: str = self.driver.execute_script("return arguments[0].toDataURL()", canvas)
        return image

    def kept(self) -> Any:
        """The JSON that can be downloaded of what stands there."""
        with urlopen(self.one("#json").get_attribute("href")) as answer:
            return json.load(answer)

    def requests(self) -> list[tuple[str, str]]:
        """Method and address of all that was asked of anyone since the last call."""
        told = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        sent = [one["params"]["request"] for one in told if one["method"] == "Network.requestWillBeSent"]
        return [(one["method"], one["url"]) for one in sent if not one["url"].startswith(("blob:", "data:"))]

    def complaints(self) -> list[str]:
        """What the console got since the last call."""
        return [entry["message"] for entry in self.driver.get_log("browser")]


@contextmanager
def open_page(driver: webdriver.Chrome, address: str) -> Iterator[Screen]:
    """The page at an address; at the end nothing has complained, and nobody else was asked for anything."""
    screen = Screen(driver, address)
    yield screen
    assert screen.complaints() == []
    assert [url for _, url in screen.requests() if not url.startswith(address)] == []


@pytest.fixture
def screen(chromium: webdriver.Chrome, scripted: str) -> Iterator[Screen]:
    with open_page(chromium, scripted) as made:
        yield made


def boxes(places: list[dict[str, float]]) -> Any:
    """Boxes of JSON to be compared with those on a screen: to half a px, and in any order."""
    return [pytest.approx(place, abs=0.5) for place in sorted([box[name] for name in COORDS] for box in places)]


def test_boxes_on_screen_are_those_that_the_command_line_prints(chromium: webdriver.Chrome) -> None:
    with served(Grounder.from_pretrained()) as address, open_page(chromium, address) as screen:
        # one temperature, as the command has: bfloat16 logits depend in their last bits on how many answers are decoded
        screen.find(OWL, "owl", temperatures="0.7")
        words = ["ground", str(OWL), "--query", "owl", "--n", "4", "--seed", "3", "--temperature", "0.7", "--json"]
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 0, done.stderr
        printed = json.loads(done.stdout)
        found = printed["found"]
        sources = [found["responses"][one["response"]]["source"] for one in found["candidates"]]
        sampled = [one["box"] for one, source in zip(found["candidates"], sources, strict=True) if source == "sampled"]
        assert len(sampled) >= 3
        assert sorted(screen.drawn("candidate")) == boxes(sampled)
        assert sorted(screen.drawn("greedy")) == boxes(printed["greedy"])
        assert sorted(screen.drawn("chosen")) == boxes([best[0] for best in printed["boxes"]])
        scores = [float(one.text) for one in screen.all("#scores span")]
        assert scores == [pytest.approx(best[1], abs=0.005) for best in printed["boxes"]]
        kept = screen.kept()
        assert {**kept, "found": {**kept["found"], "timing": 0}} == {**printed, "found": {**found, "timing": 0}}


def test_switches_choose_anew_and_sample_nothing(screen: Screen, cup: Path) -> None:
    screen.find(cup, "cup")
    assert sum(method == "POST" for method, _ in screen.requests()) == 1
    chosen = []
    for selector, temperature, several in (
        ("smallest", "0.7", False),
        ("acs-free", "1", False),
        ("consensus", "1", True),
    ):
        screen.choose(selector, temperature, several=several)
        kept = screen.kept()
        assert (kept["method"], kept["found"]["sampling"]["temperature"]) == (selector, float(temperature))
        assert sorted(screen.drawn("chosen")) == boxes([best[0] for best in kept["boxes"]])
        chosen.append(len(kept["boxes"]))
    assert chosen == [1, 1, 2]
    asked = screen.requests()
    assert len(asked) >= 4 and {method for method, _ in asked} == {"GET"}, "only what was found was asked for"


def test_a_candidate_shows_its_attention_its_answer_and_the_entropy_of_every_head(screen: Screen, cup: Path) -> None:
    screen.find(cup, "cup")
    screen.choose("consensus", "0.7")
    found = screen.kept()["found"]
    number = len(found["candidates"]) - 1
    screen.one(f"#candidates button[data-number='{number}']").click()
    screen.until(f"return document.body.dataset.picked === '{number}'")
    one = found["candidates"][number]
    assert screen.drawn("picked") == boxes([one["box"]])
    response = found["responses"][one["response"]]
    assert screen.one("#answer").text == response["text"]
    marks = {mark.get_attribute("data-coord"): mark.text for mark in screen.all("#answer mark")}
    tokens = [response["spans"][token] for token in one["tokens"]]
    assert marks == {name: response["text"][a:b] for name, (a, b) in zip(COORDS, tokens, strict=True)}
    assert [caption.text.split(" · ")[0] for caption in screen.all("#maps figcaption")] == COORDS
    for canvas in ("#maps canvas", "#entropies canvas"):
        assert len(set(map(screen.painted, screen.all(canvas)))) == 4, "four pictures, no two alike"
    ActionChains(screen.driver).move_to_element(screen.all("#entropies canvas")[1]).perform()
    heads = [f"L{head[0]}H{head[1]}" for head in found["stats"]["heads"]]
    name, _, told = screen.one("#head").text.partition(" at y1: ")
    assert told.startswith(f"{found['stats']['entropy'][number][1][heads.index(name)]:.2f} nats, ")


def test_a_click_on_the_picture_picks_the_box_under_it(screen: Screen, cup: Path) -> None:
    screen.find(cup, "cup")
    places = [one["box"] for one in screen.kept()["found"]["candidates"]]
    away = next(box for box in places if box["x1"] > WIDE / 2)
    before = screen.driver.execute_script("return document.body.dataset.picked")
    stage = screen.one("#boxes")
    x = ((away["x1"] + away["x2"]) / 2 / WIDE - 0.5) * stage.rect["width"]
    y = ((away["y1"] + away["y2"]) / 2 / HIGH - 0.5) * stage.rect["height"]
    ActionChains(screen.driver).move_to_element_with_offset(stage, round(x), round(y)).click().perform()
    screen.until(f"return document.body.dataset.picked !== '{before}'")
    assert screen.drawn("picked") == boxes([away])


def test_localization_heads_have_their_own_tab(screen: Screen, cup: Path) -> None:
    screen.one("#tab-look").click()
    screen.find(cup, "cup")
    [made] = screen.kept()["boxes"]
    assert screen.drawn("chosen") == boxes([made[0]])
    assert len(screen.all("#looked canvas")) == 1 and not screen.one("#closer").is_displayed()


def test_a_phone_needs_no_scrolling_to_the_side(screen: Screen, cup: Path) -> None:
    phone = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
    screen.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    try:
        screen.find(cup, "cup")
        across = "const page = document.scrollingElement; return [innerWidth, page.clientWidth, page.scrollWidth]"
        assert screen.driver.execute_script(across) == [390, 390, 390]
        wide = (
            "return [...document.querySelectorAll('main *')].filter((one) => one.getBoundingClientRect().right > 390)"
        )
        assert [one.get_attribute("outerHTML")[:80] for one in screen.driver.execute_script(wide)] == []
        assert len(screen.all("#maps canvas")) == 4
    finally:
        screen.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_what_is_no_picture_is_refused_in_words(screen: Screen, tmp_path: Path) -> None:
    (tmp_path / "words.png").write_text("no picture")
    screen.find(tmp_path / "words.png", "owl")
    assert "expected a picture" in screen.one("#error").text
    assert not screen.one("#result").is_displayed()
    [complaint] = screen.complaints()
    assert "422" in complaint, "the browser's own note of the refusal"
    (tmp_path / "large.png").write_bytes(a_picture() + bytes(LIMIT))
    screen.one("#file").send_keys(str(tmp_path / "large.png"))
    screen.until("return document.getElementById('error').textContent.includes('at most 1 MB')")
