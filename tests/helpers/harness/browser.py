"""A headless Chromium, driven over the WebDriver protocol by the standard library alone.

It resolves no host name, so that a page that asks for anything shows it.
"""

import json
import shutil
import subprocess
import time
import urllib.error
import urllib.request

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
MISSING = None if CHROMIUM and DRIVER else "needs chromium and chromedriver (Debian: chromium, chromium-driver)"

_ARGUMENTS = [
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1300,1800",
    "--host-resolver-rules=MAP * ~NOTFOUND",
]  # fmt: skip
_SECONDS = 60


class Browser:
    """One window."""

    def __init__(self, profile):
        self.driver = subprocess.Popen([DRIVER, "--port=0"], stdout=subprocess.PIPE, text=True)
        self.address = f"http://127.0.0.1:{self._port()}"
        options = {"binary": CHROMIUM, "args": [*_ARGUMENTS, f"--user-data-dir={profile}"]}
        wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        self.session = ""
        self.session = "/" + self._ask("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})["sessionId"]

    def _port(self):
        for line in self.driver.stdout:
            if "started successfully on port" in line:
                return int(line.split("port")[-1].strip(" .\n"))
        raise RuntimeError("chromedriver ended before it began")

    def _ask(self, method, path, body=None):
        prefix = self.address + (f"/session{self.session}" if self.session else "")
        content = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(prefix + path, content, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=_SECONDS) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise RuntimeError(json.load(error)["value"]["message"]) from error

    def open(self, path):
        """Open a file and wait until its script says that it is done."""
        self._ask("POST", "/url", {"url": path.as_uri()})
        deadline = time.monotonic() + _SECONDS
        while not self.run("return document.body.dataset.ready === 'true'"):
            if time.monotonic() > deadline:
                raise RuntimeError(f"the page was not ready after {_SECONDS} s: {self.console()}")
            time.sleep(0.05)

    def run(self, script, *arguments):
        """Run a function body in the page and return what it returns."""
        return self._ask("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def point_at(self, x, y):
        """Move the mouse to a point of the window."""
        moves = [{"type": "pointerMove", "x": round(at), "y": round(y), "duration": 50} for at in (x - 3, x)]
        mouse = {"type": "pointer", "id": "mouse", "parameters": {"pointerType": "mouse"}, "actions": moves}
        self._ask("POST", "/actions", {"actions": [mouse]})

    def emulate(self, width, scheme="light"):
        """Give the next page a width in pixels and a preferred colour scheme."""
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        for command, params in (
            ("Emulation.setDeviceMetricsOverride", size),
            ("Emulation.setEmulatedMedia", media),
        ):
            self._ask("POST", "/goog/cdp/execute", {"cmd": command, "params": params})

    def console(self):
        """Return what the page wrote to the console since the last call."""
        return [entry["message"] for entry in self._ask("POST", "/se/log", {"type": "browser"})]

    def close(self):
        """End the window and the driver."""
        try:
            self._ask("DELETE", "")
        finally:
            self.driver.terminate()
            self.driver.wait()
            self.driver.stdout.close()
