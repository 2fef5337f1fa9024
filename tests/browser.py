"""Headless Chromium, as the tests that need one start it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

CHROMIUM = Path("/usr/bin/chromium")

# Playwright's own: a second --disable-features replaces the first. tests/tooling/test_browser.py looks at Playwright's list.
OF_PLAYWRIGHT = (
    "AvoidUnnecessaryBeforeUnloadCheckSync DestroyProfileOnBrowserClose HttpsUpgrades HttpsFirstBalancedModeAutoEnable "
    "LensOverlay MediaRouter PaintHolding ThirdPartyStoragePartitioning AvoidCorsURLLoaderRestartOnRedirect "
    "TcpPortRandomizationWin OptimizationHints NetworkTimeServiceQuerying AimEnabled PreconnectToSearch msForceBrowserSignIn "
    "msEdgeUpdateLaunchServicesPreferredVersion"
).split()
# Each window loads the pages of its address bar's menu, and a process for a page to come: two thirds of what a window costs, and
# nobody sees either.
OF_WINDOWS = (
    "SpareRendererForSitePerProcess WebUIOmniboxPopup WebUIOmniboxAimPopup WebUIOmniboxFullPopup PreloadTopChromeWebUI".split()
)
ARGUMENTS = (
    *("--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
    f"--disable-features={','.join([*OF_PLAYWRIGHT, *OF_WINDOWS])}",
)


@contextlib.asynccontextmanager
async def chromium(*more: str) -> AsyncGenerator[Any]:
    """A browser, with `more` arguments; it ends with the block."""
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=str(CHROMIUM), args=[*ARGUMENTS, *more])
        yield browser
        await browser.close()
