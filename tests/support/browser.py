"""A headless Chromium, driven through chromedriver by the standard library alone (W3C WebDriver).

    with Browser(folder) as browser:
        browser.open(path)
        browser.run("return document.title")
"""

import base64
import json
import re
import shutil
import subprocess
import urllib.request
from pathlib import Path

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync",
         "--disable-dev-shm-usage", "--hide-scrollbars")
SECONDS = 60  # for one command


class Browser:
    """One window. folder: an empty one, for the chip."""

    def __init__(self, folder):
        self.folder = Path(folder)

    def __enter__(self):
        self._driver = subprocess.Popen([DRIVER, "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                        text=True)
        try:
            for line in self._driver.stdout:
                found = re.search(r"started successfully on port (\d+)", line)
                if found:
                    break
            self._base = f"http://127.0.0.1:{found[1]}"
            options = {"binary": CHROMIUM, "args": [*FLAGS, f"--user-data-dir={self.folder}"]}
            made = self._call("POST", "/session", {"capabilities": {"alwaysMatch": {
                "browserName": "chrome", "goog:chromeOptions": options,
                "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"}}}})
            self._session = f"/session/{made['sessionId']}"
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *error):
        try:
            self._call("DELETE", self._session)
        finally:
            self._stop()

    def _stop(self):
        self._driver.terminate()
        self._driver.wait(SECONDS)
        self._driver.stdout.close()

    def _call(self, method, path, body=None):
        request = urllib.request.Request(
            self._base + path, None if method != "POST" else json.dumps(body or {}).encode(),
            {"Content-Type": "application/json"}, method=method)
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=SECONDS) as answer:
            return json.load(answer)["value"]

    def open(self, path):
        """Load a file, and wait until it is there."""
        self._call("POST", f"{self._session}/url", {"url": Path(path).resolve().as_uri()})

    def run(self, script, *arguments):
        """The value of a script that returns one."""
        return self._call("POST", f"{self._session}/execute/sync", {"script": script, "args": arguments})

    def devtools(self, command, **parameters):
        """Send a command of the DevTools protocol."""
        return self._call("POST", f"{self._session}/goog/cdp/execute", {"cmd": command, "params": parameters})

    def press(self, key):
        """Press a key in whatever has the focus; \ue007 is Enter."""
        keys = [{"type": kind, "value": key} for kind in ("keyDown", "keyUp")]
        self._call("POST", f"{self._session}/actions",
                   {"actions": [{"type": "key", "id": "keys", "actions": keys}]})

    def logs(self, kind):
        """New lines of the log "browser" (the console), or messages of "performance" (DevTools)."""
        found = self._call("POST", f"{self._session}/se/log", {"type": kind})
        return found if kind == "browser" else [json.loads(entry["message"])["message"] for entry in found]

    def view(self, width, height=900, scheme="light", media="screen"):
        """Choose the size of the window in CSS pixels, a colour scheme and a medium."""
        self.devtools("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1,
                      mobile=width < 600)
        self.devtools("Emulation.setEmulatedMedia", media=media,
                      features=[{"name": "prefers-color-scheme", "value": scheme}])

    def picture(self, path, whole=True):
        """Save what is seen as PNG; whole: the page to its end."""
        found = self.devtools("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        Path(path).write_bytes(base64.b64decode(found["data"]))

    def print(self, path):
        """Save the page as it prints, A4."""
        found = self.devtools("Page.printToPDF", paperWidth=8.27, paperHeight=11.69, printBackground=True,
                              preferCSSPageSize=True)
        Path(path).write_bytes(base64.b64decode(found["data"]))
