"""One Chromium for all tests of pages that run in a process: Playwright allows only one at a time."""

from chromium import chromium, open_page, picture

__all__ = ["chromium", "open_page", "picture"]
