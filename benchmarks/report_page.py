"""Measure the HTML report of a large batch: how long it takes to write, and what the browser makes of it.

    .venv/bin/python benchmarks/report_page.py results/big.db [--page results/big.html] [--again 5]

`benchmarks/big_ledger.py` writes such a ledger; `make .venv/installed-browser` installs Playwright, and CHROMIUM names
the browser where it is not /usr/bin/chromium. Times of the browser are the best and the median of several, because
other programs share the machine; the heap is what the page uses after a garbage collection, the buffers of typed
arrays included.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
QUERIES = ("r", "rob", "lead-0123456", "nothing has this")
_CHANGE = """([id, value]) => {
  const field = document.getElementById(id);
  const start = performance.now();
  field.value = value;
  field.dispatchEvent(new Event(field.tagName === "SELECT" ? "change" : "input", { bubbles: true }));
  document.body.offsetHeight;
  return performance.now() - start;
}"""
_SORT = """place => {
  const heading = document.querySelectorAll("#jobs-table th[scope=col] button")[place];
  const start = performance.now();
  heading.click();
  document.body.offsetHeight;
  return performance.now() - start;
}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ledger", type=Path)
    parser.add_argument("--page", type=Path, help="default: next to the ledger")
    parser.add_argument("--again", type=int, default=5)
    given = parser.parse_args()
    page = (given.page or given.ledger.with_suffix(".html")).resolve()
    write(given.ledger, page)
    measure(page, given.again)


def write(ledger: Path, page: Path) -> None:
    """Write the report with the command, and print the time and the memory that it takes."""
    began = time.monotonic()
    command = [sys.executable, "-m", "batchcrew", "report", "-f", "html", "-o", str(page), "--ledger", str(ledger)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = used.ru_utime + used.ru_stime
    print(f"written in                {time.monotonic() - began:.1f} s ({processor:.1f} s of a processor)")
    print(f"memory at most            {used.ru_maxrss / 1024:.0f} MiB")
    print(f"file                      {page.stat().st_size / 1e6:.2f} MB")


def measure(page: Path, again: int) -> None:
    """Open the page in Chromium, and print its times and its memory."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - only `make browser` installs it

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"), args=list(ARGUMENTS)
        )
        drawn, requests = [], 0
        for _ in range(again):
            tab = browser.new_page(viewport={"width": 1280, "height": 900})
            urls: list[str] = []
            tab.on("request", lambda request, urls=urls: urls.append(request.url))
            opened(tab, page)
            drawn.append(tab.evaluate("performance.getEntriesByName('jobs-drawn')[0].startTime"))
            requests = max(requests, len(urls) - 1)
            tab.close()
        show("drawn", drawn)
        print(f"requests                  {requests}, besides the file")
        tab = browser.new_page(viewport={"width": 1280, "height": 900})
        opened(tab, page)
        session = tab.context.new_cdp_session(tab)
        print(f"heap                      {heap(session):.0f} MB")
        show("filter by state", [float(tab.evaluate(_CHANGE, ["jobs-state", "1"])) for _ in range(again)])
        tab.evaluate(_CHANGE, ["jobs-state", ""])
        for query in QUERIES:
            show(f"search {query!r}", [float(tab.evaluate(_CHANGE, ["jobs-query", query])) for _ in range(again)])
        tab.evaluate(_CHANGE, ["jobs-query", ""])
        headings = tab.locator("#jobs-table th[scope=col] button").all_inner_texts()
        for place, heading in enumerate(headings):
            show(f"sort by {heading}", [float(tab.evaluate(_SORT, place)) for _ in range(2)])
        print(f"heap after that           {heap(session):.0f} MB")
        browser.close()


def opened(tab: Any, page: Path) -> None:
    tab.goto(page.as_uri())
    tab.wait_for_selector("#jobs-body button.open", timeout=120_000)


def heap(session: Any) -> float:
    session.send("HeapProfiler.collectGarbage")
    usage = session.send("Runtime.getHeapUsage")
    return float(usage["usedSize"] + usage.get("backingStorageSize", 0)) / 1e6


def show(name: str, milliseconds: list[float]) -> None:
    print(f"{name:<26}{min(milliseconds):.0f} ms at best, {statistics.median(milliseconds):.0f} ms median")


if __name__ == "__main__":
    main()
