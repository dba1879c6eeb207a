"""Pictures of real pages for the documentation: the first screen of a finished run's page.

    python scripts/docs_pictures.py RUNS

RUNS holds one run directory a command (`RUNS/report`, `RUNS/patch`, …), as the commands at the head
of `docs/questions/*.md` leave them. Needs Chromium and the extra `dev`.
"""

import argparse
from pathlib import Path

from playwright.sync_api import sync_playwright

PICTURES = Path(__file__).resolve().parents[1] / "docs" / "pictures"
SIZE = {"width": 1120, "height": 1180}


def main() -> None:
    """Take a picture of every page that has a page of the documentation."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path)
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    given = parser.parse_args()
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=given.chromium, args=["--no-sandbox"])
        for page in sorted(given.runs.glob("*/report.html")):
            if not (PICTURES.parent / "questions" / f"{page.parent.name}.md").is_file():
                continue
            opened = browser.new_page(viewport=SIZE)
            opened.goto(page.absolute().as_uri())
            if opened.locator(".plot").count():
                opened.wait_for_selector(".plot .main-svg")
            opened.screenshot(path=PICTURES / f"{page.parent.name}.png")
            opened.close()
        browser.close()


if __name__ == "__main__":
    main()
