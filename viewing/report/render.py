"""The report as one HTML file that needs no network: template, style, script, data and Plotly in one."""

import base64
import gzip
import html
import json
import re
from importlib.resources import files
from typing import Any, Final

from tightrope.rope.support.extras import import_extra
from tightrope.rope.support.printable import printable

_HERE: Final = "tightrope.viewing.report"
_PLACEHOLDER: Final = re.compile("@@([A-Z]+)@@")


def page(data: dict[str, Any]) -> bytes:
    """Return the HTML of a report.

    Args:
        data: See `report_data`.

    Raises:
        ExtraMissing: plotly is not installed.
    """
    parts = {
        "TITLE": html.escape(printable(data["title"])),
        "STYLE": _text("report.css"),
        "SCRIPT": _text("report.js"),
        "DATA": _json(data),
        "PLOTLY": plotly(),
    }
    # One pass: a title or a configuration that holds a placeholder is content, not template.
    return _PLACEHOLDER.sub(lambda found: parts[found[1]], _text("report.html")).encode()


def plotly() -> str:
    """Return Plotly's script from its package, gzipped, in base64: a third of its size, so that a report can be mailed.

    Raises:
        ExtraMissing: plotly is not installed.
    """
    import_extra("plotly", purpose="reports")
    script = files("plotly").joinpath("package_data", "plotly.min.js").read_bytes()
    return base64.b64encode(gzip.compress(script, mtime=0)).decode()


def _text(name: str) -> str:
    return files(_HERE).joinpath(name).read_text(encoding="utf-8")


def _json(data: dict[str, Any]) -> str:
    """Return data as JSON in ASCII, which has an escape for half a surrogate pair; it cannot end its script element."""
    return json.dumps(data, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
