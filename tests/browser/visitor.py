"""
A person at a browser, who finds fields by their labels and buttons by their words.
"""

import base64
import shutil
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

from axe_core_python.selenium import Axe
from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

from tests.waiting import eventually

PATIENCE_SECONDS = 20

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
SCREENS = {
    "desktop": {"width": 1100, "height": 900, "mobile": False},
    "phone": {"width": 390, "height": 800, "mobile": True},
}

# Headless, in a container, as root, and without a word to the outside.
SWITCHES = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--hide-scrollbars",
)

FIELD = """
    //*[self::input or self::select or self::textarea][
        @aria-label = {0} or @id = //label[normalize-space() = {0}]/@for or parent::label[normalize-space() = {0}]
    ]
"""
WAY = "//*[self::a or self::button][normalize-space() = {0} or starts-with(normalize-space(), {0})]"


class NoBrowser(Exception):
    """
    There is no Chromium, or no ChromeDriver, on this machine. Install both, such as Debian's packages: apt-get install
    chromium chromium-driver.
    """


class Visitor:
    """
    A visitor of the shop at an address, until the `with` block ends.
    """

    def __init__(self, shop: str, *, screen: str = "desktop", dark: bool = False, javascript: bool = True) -> None:
        self.shop = shop
        self._profile = TemporaryDirectory()
        self._chrome = _start(self._profile.name)
        self._tell("Emulation.setDeviceMetricsOverride", **SCREENS[screen], deviceScaleFactor=1)
        theme = "dark" if dark else "light"
        self._tell("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}])
        self._tell("Emulation.setScriptExecutionDisabled", value=not javascript)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._chrome.quit()
        self._profile.cleanup()

    def open(self, address: str) -> None:
        """
        Go to an address, of the shop unless it is a whole one.
        """
        self._chrome.get(address if "://" in address else self.shop + address)

    def log_in(self, *, name: str, password: str) -> None:
        self.open("/api/auth/login/")
        self.fill("Name", name)
        self.fill("Password", password)
        self.press("Log in")

    def fill(self, label: str, value: str) -> None:
        """
        Write into the field of this label.
        """
        field = self._find(FIELD, label)
        field.clear()
        field.send_keys(value)

    def choose(self, label: str) -> None:
        self._find(FIELD, label).click()

    def press(self, words: str) -> None:
        """
        Follow the link or press the button, in the page's main part if there is one, and wait for the next page.
        """
        page = self._chrome.find_element(By.TAG_NAME, "html")
        self._find(f"//main{WAY}" if self.offers(words) else WAY, words).click()
        _wait_until(lambda: _is_gone(page))

    def push(self, words: str) -> None:
        """
        Press a button that changes the page, but does not leave it.
        """
        self._find(WAY, words).click()

    def offers(self, words: str) -> bool:
        """
        Tell whether the page's main part has such a link or button.
        """
        return bool(self._chrome.find_elements(By.XPATH, f"//main{WAY}".format(_quoted(words))))

    @property
    def headline(self) -> str:
        return self._chrome.find_element(By.TAG_NAME, "h1").text

    @property
    def text(self) -> str:
        return self._chrome.find_element(By.TAG_NAME, "main").text

    @property
    def address(self) -> str:
        return self._chrome.current_url

    def watch_until(self, headline: str) -> None:
        """
        Keep looking at the page, without touching anything, until this is its headline.
        """
        _wait_until(lambda: self.headline == headline)

    def watch_for(self, words: str) -> None:
        """
        Keep looking until the page says this somewhere.
        """
        _wait_until(lambda: words in self.text)

    def look_again_until(self, words: str) -> None:
        """
        Load the page again and again until it says this somewhere.
        """
        _wait_until(lambda: self.open(self.address) or words in self.text)

    def barriers(self) -> list[str]:
        """
        List what on this page keeps people out who see, hear or move otherwise, as axe-core finds it.
        """
        found = Axe().run(self._chrome)["violations"]
        return [f"{rule['id']}: {node['html']}" for rule in found for node in rule["nodes"]]

    def is_wider_than_its_screen(self) -> bool:
        return self._chrome.execute_script("return document.documentElement.scrollWidth > innerWidth")

    def photograph(self, file: Path) -> None:
        """
        Keep a picture of the whole page.
        """
        size = self._tell("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        picture = self._tell("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)
        file.write_bytes(base64.b64decode(picture["data"]))

    def _find(self, pattern: str, words: str) -> WebElement:
        return self._chrome.find_element(By.XPATH, pattern.format(_quoted(words)))

    def _tell(self, command: str, **arguments: Any) -> Any:
        return self._chrome.execute_cdp_cmd(command, arguments)


def _wait_until(condition: Callable[[], object]) -> None:
    """
    Wait until the condition is true, while the page may change under it.
    """
    eventually(condition, within=PATIENCE_SECONDS, ignoring=WebDriverException)


def _is_gone(page: WebElement) -> bool:
    try:
        page.is_enabled()
    except WebDriverException:
        return True
    return False


def _start(profile: str) -> webdriver.Chrome:
    """
    Start a browser that knows nothing yet.

    :raises NoBrowser: if there is none.
    """
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    driver = shutil.which("chromedriver")
    if not (browser and driver):
        raise NoBrowser(NoBrowser.__doc__)
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for switch in (*SWITCHES, f"--user-data-dir={profile}"):
        options.add_argument(switch)
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))


def _quoted(words: str) -> str:
    """
    Write a text as XPath does.
    """
    return f'"{words}"'
