"""What a person sees of a rope: pictures (matplotlib) and a report (Plotly).

Importing this package imports neither; each function imports what it draws with, and says which extra is missing.
"""

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tightrope.rope.config.model import ModelRope
from tightrope.rope.errors import RopeConfigError
from tightrope.rope.support.extras import import_extra
from tightrope.rope.support.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from tightrope.verify.timing import Row

FORMATS: Final = ("png", "svg", "pdf")
DPI: Final = 150
"""150: four panels of 11 × 7.2 inches stay sharp at the width of a page."""


def draw(model: ModelRope, title: str) -> "Figure":
    """Return a matplotlib figure with four panels for each rope of a model.

    Inverse frequencies before and after scaling, wavelengths against the context, what the scaling divides by, and the
    attention factor.

    Raises:
        ExtraMissing: matplotlib is not installed.
        RopeConfigError: The model has no rope.
    """
    pictures = _pictures()
    if not model.ropes:
        raise RopeConfigError("there is nothing to draw: this model has no rotary positions")
    figure: Figure = pictures.rope_picture(model, title)
    return figure


def draw_comparison(left: ModelRope, right: ModelRope, names: tuple[str, str]) -> "Figure":
    """Return a matplotlib figure that lays the ropes of two models over one another.

    Raises:
        ExtraMissing: matplotlib is not installed.
        RopeConfigError: The models have no rope in common.
    """
    figure: Figure = _pictures().comparison_picture(left, right, names)
    return figure


def draw_errors(model: ModelRope, errors: Mapping[str, Mapping[str, Sequence[float]]], title: str) -> "Figure":
    """Return a matplotlib figure with the error of cos and sin against the position, a panel for each rope.

    Args:
        model: The ropes.
        errors: By key of a rope, what `accuracy.error_curves` returned for it.
        title: Printed on top.

    Raises:
        ExtraMissing: matplotlib is not installed.
    """
    figure: Figure = _pictures().error_picture(model, errors, title)
    return figure


def draw_speed(rows: "Sequence[Row]", title: str) -> "Figure":
    """Return a matplotlib figure with a bar for each contender of `tightrope.verify.timing`, a panel for each work.

    Raises:
        ExtraMissing: matplotlib is not installed.
        RopeConfigError: Nothing was timed.
    """
    if not rows:
        raise RopeConfigError("there is nothing to draw: no backend has this task")
    import_extra("matplotlib", purpose="pictures")
    from tightrope.viewing.pictures import speed

    figure: Figure = speed.speed_picture(rows, title)
    return figure


def save(figure: "Figure", path: str | Path) -> None:
    """Write a figure as PNG, SVG or PDF, by the ending of its name.

    Raises:
        RopeConfigError: Another ending.
    """
    content = BytesIO()
    figure.savefig(content, format=format_of(path), dpi=DPI)
    write_atomically(Path(path), content.getvalue())


def format_of(path: str | Path) -> str:
    """Return the one of `FORMATS` that a picture's name ends in.

    Raises:
        RopeConfigError: Another ending.
    """
    kind = Path(path).suffix.removeprefix(".").lower()
    if kind not in FORMATS:
        raise RopeConfigError(f"the name of a picture must end in .{', .'.join(FORMATS)}, got {str(path)!r}")
    return kind


def _pictures() -> Any:
    import_extra("matplotlib", purpose="pictures")
    from tightrope.viewing.pictures import ropes as pictures

    return pictures
