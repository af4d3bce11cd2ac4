"""From what a person names to a report: which backends take part, which configurations, one after the other."""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tightrope import backends
from tightrope.rope.errors import BackendUnavailable, RopeConfigError, RopeError, RopeWarning
from tightrope.rope.reading import read
from tightrope.rope.reference import DTYPES, DType
from tightrope.verify.parity.report import BackendReport, ModelReport, ParityReport
from tightrope.verify.parity.run import compare_model
from tightrope.verify.parity.subjects import OnDevice


def choose(selection: Sequence[str] = ()) -> tuple[list[OnDevice], list[str]]:
    """Return the backends that take part, and why others do not.

    Args:
        selection: `"torch:cpu"`, or `"torch"` for its default device; none: every backend on its default device.

    Raises:
        BackendUnavailable: One that was asked for cannot be used, or none can.
        RopeConfigError: There is no such backend or device.
    """
    if selection:
        return [_on_device(one) for one in selection], []
    chosen, absent = [], []
    for name in backends.names():
        try:
            chosen.append(_on_device(name))
        except BackendUnavailable as error:
            absent.append(str(error))
    if not chosen:
        raise BackendUnavailable("there is nothing to compare: " + "; ".join(absent))
    return chosen, absent


def _on_device(wanted: str) -> OnDevice:
    name, _, device = wanted.partition(":")
    backend = backends.load(name)
    devices = backend.devices()
    if device and device not in devices:
        raise RopeConfigError(f"device of backend {name!r} must be one of {', '.join(devices)}, got {device!r}")
    return OnDevice(backend, device or devices[0])


def compare_source(
    name: str, source: object, subjects: Sequence[OnDevice], *, block: Mapping[str, Any] | None = None,
    layer_type: str | None = None, max_position: int | None = None, dtypes: Sequence[DType] = DTYPES,
) -> ModelReport:  # fmt: skip
    """Read one configuration and compare on it; one that cannot be read gives a report that says why.

    Args:
        name: What the report calls it.
        source: See `read`.
        subjects: Who is compared.
        block: A rope block that replaces the configuration's own scaling.
        layer_type: Which rope it replaces, where there are several.
        max_position: The longest context to compare at, in tokens.
        dtypes: Of the rotated tensors.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RopeWarning)  # the model's notes say the same
            model = read(source)
        if block is not None:
            model = model.replace(layer_type, scaling=block)
        return compare_model(model, subjects, name=name, max_position=max_position, dtypes=dtypes)
    except RopeError as error:
        return ModelReport(name, {}, (), (), error=str(error))


def summarise(subjects: Sequence[OnDevice], absent: Iterable[str], models: Iterable[ModelReport]) -> ParityReport:
    """Return the report of a whole run."""
    taking_part = (
        BackendReport(one.backend.name, one.device, one.backend.version, one.backend.path(one.device))
        for one in subjects
    )
    return ParityReport(tuple(taking_part), tuple(absent), tuple(models))
