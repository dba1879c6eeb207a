"""A browser for the page."""

from pathlib import Path
from typing import Any

import pytest

CHROMIUM = Path("/usr/bin/chromium")


@pytest.fixture(scope="session")
def browser() -> Any:
    """Headless Chromium."""
    if not CHROMIUM.exists():
        pytest.skip(f"no Chromium at {CHROMIUM}; on Debian: apt-get install chromium")
    playwright = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    with playwright.sync_playwright() as play:
        found = play.chromium.launch(
            executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-gpu"]
        )
        yield found
        found.close()


@pytest.fixture
def visit(browser: Any) -> Any:
    """Opens a page; returns it with its errors, requests and dialogs."""
    contexts = []

    def go(
        path: Path, *, scripts: bool = True, width: int = 1280, guarded: bool = True
    ) -> tuple[Any, dict[str, list[str]]]:
        context = browser.new_context(
            java_script_enabled=scripts,
            viewport={"width": width, "height": 900},
            bypass_csp=not guarded,
        )
        contexts.append(context)
        page = context.new_page()
        seen: dict[str, list[str]] = {"errors": [], "requests": [], "dialogs": []}
        page.on("console", lambda m: seen["errors"].append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: seen["errors"].append(str(error)))
        page.on("request", lambda request: seen["requests"].append(request.url))

        def dismiss(dialog: Any) -> None:
            seen["dialogs"].append(dialog.message)
            dialog.dismiss()

        page.on("dialog", dismiss)
        page.goto(path.as_uri(), wait_until="load", timeout=120_000)
        return page, seen

    yield go
    for context in contexts:
        context.close()
