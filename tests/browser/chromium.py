"""Chromium for tests of pages, and the checks that every page must pass."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or "/usr/bin/chromium"
PICTURES = Path(os.environ.get("BATCHCREW_PICTURES") or Path(__file__).parents[2] / ".artifacts")
"""The folder of the screenshots."""
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-precise-memory-info",
)


def _missing() -> str | None:
    try:
        import axe_playwright_python  # noqa: F401
        import playwright  # noqa: F401
    except ImportError:
        return "Playwright is not installed; `make browser` installs it and runs this"
    return None if Path(CHROMIUM).exists() else "Chromium not found; install it, or set CHROMIUM=/path/to/chrome"


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """Return a browser; skip where it is missing, and fail in CI."""
    if missing := _missing():
        if os.environ.get("CI") == "true":
            pytest.fail(missing, pytrace=False)
        pytest.skip(missing)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium: Any) -> Iterator[Callable[..., Any]]:
    """Return a function that opens a file; in the end, the page must have reported no error and requested nothing else.

    It takes a path, and options of the browser's context.
    """
    contexts: list[Any] = []
    problems: list[str] = []
    requests: list[str] = []
    files: list[str] = []

    def opened(path: Path, **options: Any) -> Any:
        files.append(path.as_uri())
        context = chromium.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: problems.append(f"console {message.type}: {message.text}"))
        page.on("pageerror", lambda error: problems.append(f"error: {error}"))
        page.on("dialog", lambda dialog: problems.append(f"dialog: {dialog.message}"))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(path.as_uri())
        return page

    yield opened
    for context in contexts:
        context.close()
    assert problems == []
    assert requests == files


@pytest.fixture
def picture() -> Callable[..., None]:
    """Return a function that keeps a screenshot for people to look at.

    It takes a page, a name, and whether the picture shows the whole page or what is on the screen.
    """

    def take(page: Any, name: str, *, whole: bool = True) -> None:
        PICTURES.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=PICTURES / f"{name}.png", full_page=whole)

    return take
