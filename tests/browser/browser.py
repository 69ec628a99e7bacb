"""A browser whose user finds fields by their labels, and links and buttons by their texts."""

import base64
import shutil
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

from tests.node import package_of_node
from tests.waiting import eventually

PATIENCE_SECONDS = 20

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
SCREENS = {
    "desktop": {"width": 1100, "height": 900, "mobile": False},
    "phone": {"width": 360, "height": 800, "mobile": True},
    "sheet": {"width": 1580, "height": 1000, "mobile": False},
}
LOGIN_WORDS = {"en": ("Name", "Password", "Log in"), "de": ("Name", "Passwort", "Anmelden")}

# Headless, in a container, as root, without connections to other hosts.
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
RUN_AXE = "axe.run(document, {resultTypes: ['violations']}).then(arguments[arguments.length - 1])"
LINK = "//*[self::a or self::button][normalize-space() = {0} or starts-with(normalize-space(), {0})]"


class NoBrowser(Exception):
    """
    Chromium or ChromeDriver is missing. Install both, for example the packages of Debian: apt-get install chromium
    chromium-driver.
    """


class Browser:
    """A browser with a fresh profile, open during the `with` block. Paths are relative to the shop's address."""

    def __init__(
        self, shop: str, *, screen: str = "desktop", dark: bool = False, javascript: bool = True, language: str = "en"
    ) -> None:
        self.shop, self.language, self.screen = shop, language, screen
        self.clicks = 0
        """Links and buttons that were pressed since the last `clicks_from`."""
        self._profile = TemporaryDirectory()
        self._chrome = _start(self._profile.name, language)
        self._command("Emulation.setDeviceMetricsOverride", **SCREENS[screen], deviceScaleFactor=1)
        theme = "dark" if dark else "light"
        self._command("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}])
        self._command("Emulation.setScriptExecutionDisabled", value=not javascript)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._chrome.quit()
        self._profile.cleanup()

    def open(self, address: str) -> None:
        """Open a path of the shop, or a URL."""
        self._chrome.get(address if "://" in address else self.shop + address)

    def carry(self, cookies: Mapping[str, str]) -> None:
        """Send these cookies with every request to the shop."""
        self.open("/")
        for name, value in cookies.items():
            self._chrome.add_cookie({"name": name, "value": value})

    def log_in(self, *, name: str, password: str) -> None:
        name_label, password_label, button = LOGIN_WORDS[self.language]
        self.open("/api/auth/login/")
        self.fill(name_label, name)
        self.fill(password_label, password)
        self.press(button)

    def fill(self, label: str, value: str) -> None:
        """Replace the text of the field with this label."""
        field = self._find(FIELD, label)
        field.clear()
        field.send_keys(value)

    def choose(self, label: str) -> None:
        self._find(FIELD, label).click()

    def press(self, words: str) -> None:
        """Click a link or button, preferably in the page's main part, and wait for the next page."""
        self._follow(self._find(f"//main{LINK}" if self.offers(words) else LINK, words))

    def press_link_of(self, column: str) -> None:
        """Click the link of the first row in this column of a list of the admin, and wait for the next page."""
        self._follow(self._chrome.find_element(By.CSS_SELECTOR, f"#result_list .field-{column} a"))

    def clicks_from(self, address: str) -> int:
        """Return how many links and buttons were pressed since this was last called, and open a page."""
        clicks, self.clicks = self.clicks, 0
        self.open(address)
        return clicks

    def press_by_keyboard(self, words: str) -> None:
        """Move the focus from the start of the page with the tab key to a link or button, and press enter."""
        page, target = self._chrome.find_element(By.TAG_NAME, "html"), self._find(LINK, words)
        while self._chrome.switch_to.active_element != target:
            ActionChains(self._chrome).send_keys(Keys.TAB).perform()
        ActionChains(self._chrome).send_keys(Keys.ENTER).perform()
        _wait_until(lambda: _is_gone(page))

    def click(self, words: str) -> None:
        """Click a button that changes the page without leaving it."""
        self._find(LINK, words).click()

    def offers(self, words: str) -> bool:
        """Return whether the page's main part has this link or button."""
        return bool(self._chrome.find_elements(By.XPATH, f"//main{LINK}".format(_quoted(words))))

    @property
    def headline(self) -> str:
        return self._chrome.find_element(By.TAG_NAME, "h1").text

    @property
    def text(self) -> str:
        return self._chrome.find_element(By.TAG_NAME, "main").text

    def frames(self) -> list[str]:
        """Return the text of each frame of the page."""
        texts = []
        for frame in self._chrome.find_elements(By.TAG_NAME, "iframe"):
            self._chrome.switch_to.frame(frame)
            texts.append(self._chrome.find_element(By.TAG_NAME, "body").text)
            self._chrome.switch_to.default_content()
        return texts

    @property
    def address(self) -> str:
        return self._chrome.current_url

    def wait_for_headline(self, headline: str) -> None:
        """Wait until the page changes its headline to this one by itself."""
        _wait_until(lambda: self.headline == headline)

    def wait_for_text(self, words: str) -> None:
        """Wait until the page's text contains these words."""
        _wait_until(lambda: words in self.text)

    def reload_until(self, words: str) -> None:
        """Reload the page until its text contains these words."""
        _wait_until(lambda: self.open(self.address) or words in self.text)

    def accessibility_violations(self) -> list[str]:
        """Return the page's violations of accessibility rules, as axe-core reports them."""
        self._chrome.execute_script(_axe())
        violations = self._chrome.execute_async_script(RUN_AXE)["violations"]
        self._chrome.get_log("browser")  # of axe-core, whose styles the Content-Security-Policy blocks
        return [f"{rule['id']}: {node['html']}" for rule in violations for node in rule["nodes"]]

    def policy_violations(self) -> list[str]:
        """Return what the Content-Security-Policy has blocked since the last call, as the console reports it."""
        messages = [entry["message"] for entry in self._chrome.get_log("browser")]
        return [message for message in messages if "Content Security Policy" in message]

    def overflows(self) -> bool:
        # Not compared with innerWidth, which grows with the page on a phone.
        page = "document.documentElement"
        return self._chrome.execute_script(f"return {page}.scrollWidth > {page}.clientWidth")

    def bytes_loaded(self) -> int:
        """Return the size of the page with all that it has loaded, as transferred."""
        entries = "[...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]"
        return self._chrome.execute_script(f"return {entries}.reduce((sum, entry) => sum + entry.transferSize, 0)")

    def save_screenshot(self, file: Path) -> None:
        """Save a screenshot of the whole page, as the PNG or WebP that the file's name says."""
        size = self._command("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        picture = self._command(
            "Page.captureScreenshot", captureBeyondViewport=True, clip=clip, format=file.suffix.removeprefix(".")
        )
        file.write_bytes(base64.b64decode(picture["data"]))

    def _follow(self, target: WebElement) -> None:
        page = self._chrome.find_element(By.TAG_NAME, "html")
        target.click()
        self.clicks += 1
        _wait_until(lambda: _is_gone(page))

    def _find(self, pattern: str, words: str) -> WebElement:
        return self._chrome.find_element(By.XPATH, pattern.format(_quoted(words)))

    def _command(self, command: str, **arguments: Any) -> Any:
        return self._chrome.execute_cdp_cmd(command, arguments)


def _wait_until(condition: Callable[[], object]) -> None:
    """Wait until the condition is true; an error of a page that changes meanwhile counts as false."""
    eventually(condition, within=PATIENCE_SECONDS, ignoring=WebDriverException)


def _is_gone(page: WebElement) -> bool:
    try:
        page.is_enabled()
    except WebDriverException:
        return True
    return False


@cache
def _axe() -> str:
    return (package_of_node("axe-core") / "axe.min.js").read_text(encoding="utf-8")


def _start(profile: str, language: str) -> webdriver.Chrome:
    """
    Start a browser with this folder as its profile, which asks for pages in this language.

    :raises NoBrowser: if there is none.
    """
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    driver = shutil.which("chromedriver")
    if not (browser and driver):
        raise NoBrowser(NoBrowser.__doc__)
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for switch in (*SWITCHES, f"--user-data-dir={profile}", f"--accept-lang={language}"):
        options.add_argument(switch)
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))


def _quoted(words: str) -> str:
    """Return a text as an XPath literal."""
    return f'"{words}"'
