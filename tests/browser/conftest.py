"""A real headless Chromium, spoken to over its own DevTools pipe: no driver, no extra package."""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--remote-debugging-pipe",
)


class Tab:
    """One page of the browser; remembers every request, log entry and exception since it was opened."""

    def __init__(self, process: subprocess.Popen[bytes], to_browser: int, from_browser: int) -> None:
        self._process, self._to, self._from = process, to_browser, from_browser
        self._buffer, self._count, self._session = b"", 0, None
        self.events: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._count += 1
        message = {"id": self._count, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        return self._until(lambda answer: answer.get("id") == message["id"])["result"]

    def _until(self, wanted: Callable[[dict[str, Any]], bool], seconds: float = 60.0) -> dict[str, Any]:
        deadline = time.monotonic() + seconds
        while True:
            while b"\0" in self._buffer:
                raw, self._buffer = self._buffer.split(b"\0", 1)
                answer = json.loads(raw)
                if "error" in answer:
                    raise RuntimeError(answer["error"])
                if "method" in answer:
                    self.events.append(answer)
                if wanted(answer):
                    return answer
            if not select.select([self._from], [], [], max(deadline - time.monotonic(), 0.0))[0]:
                raise TimeoutError("the browser did not answer")
            chunk = os.read(self._from, 1 << 16)
            if not chunk:
                raise RuntimeError(f"the browser ended with {self._process.poll()}")
            self._buffer += chunk

    def open(self, page: Path, *, width: int, scheme: str) -> None:
        """Load a file at a given width in CSS pixels and with a preferred colour scheme, until everything is drawn."""
        self.events.clear()
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 600)
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.call("Page.navigate", url=page.as_uri())
        if not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self._until(lambda answer: answer.get("method") == "Page.loadEventFired")

    def evaluate(self, expression: str) -> Any:
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def screenshot(self, path: Path) -> Path:
        """The whole page, not only what fits on the screen."""
        picture = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(picture["data"]))
        return path

    def complaints(self) -> list[dict[str, Any]]:
        """Exceptions, log entries and console errors or warnings."""
        kinds = ("Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled")
        return [event for event in self.events if event["method"] in kinds]

    def requests(self) -> list[str]:
        """Addresses that were asked for, inline ``data:`` ones left out."""
        sent = [event["params"]["request"]["url"] for event in self.events if event["method"] == "Network.requestWillBeSent"]
        return [address for address in sent if not address.startswith("data:")]


@pytest.fixture(scope="session")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium on this machine (Debian: apt-get install chromium)")
    child_in, to_browser = os.pipe()
    from_browser, child_out = os.pipe()
    high = [fcntl.fcntl(fd, fcntl.F_DUPFD, 10) for fd in (child_in, child_out)]

    def wire() -> None:
        # DevTools reads its commands from descriptor 3 and writes answers to 4.
        os.dup2(high[0], 3)
        os.dup2(high[1], 4)

    profile = tmp_path_factory.mktemp("chromium")
    process = subprocess.Popen(
        [chromium, *_FLAGS, f"--user-data-dir={profile}"],
        preexec_fn=wire,  # noqa: PLW1509  # no thread has been started here
        pass_fds=(3, 4),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    for fd in (child_in, child_out, *high):
        os.close(fd)
    try:
        yield Tab(process, to_browser, from_browser)
    finally:
        with contextlib.suppress(OSError):  # it may have ended already
            os.close(to_browser)
        process.terminate()
        process.wait(timeout=30)
        os.close(from_browser)
