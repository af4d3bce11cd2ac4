"""Write what one backend computes on one machine, and compare the backends of another machine with it."""

import platform
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tightrope.rope.config.model import ModelRope
from tightrope.rope.config.rope import RopeConfig
from tightrope.rope.errors import RopeConfigError, RopeError
from tightrope.rope.reading import read
from tightrope.rope.support.json_values import json_values
from tightrope.verify.golden import file
from tightrope.verify.golden.file import Arrays, Provenance
from tightrope.verify.golden.plan import Quantity, entries, require_recordable
from tightrope.verify.parity.differences import Figure, compare, worst
from tightrope.verify.parity.subjects import OnDevice

Array = NDArray[Any]

CORE: Final = "core"

_LAYOUT: Final = "layout"  # beside the keys of config.json, none of which has this name


@dataclass(frozen=True)
class GoldenFinding:
    """How a local backend compares with the file in one kind of quantity.

    Attributes:
        subject: Name and device of the local backend; `"core"` for what no backend computes.
        rope: Key of the model's ropes.
        kind: Which quantity.
        numbers: The precision, the policy or the dtype.
        calls: How many calls were compared.
        identical: In how many of them all bits are equal.
        ulps: The largest difference, in ulps of the pair's norm.
        allowed: What two correct backends may differ by.
        problem: Why it did not come to a comparison; ulps is then inf.
    """

    subject: str
    rope: str
    kind: str
    numbers: str
    calls: int
    identical: int
    ulps: float
    allowed: float
    problem: str | None = None

    @property
    def agrees(self) -> bool:
        """Within what is allowed."""
        return self.ulps <= self.allowed


@dataclass(frozen=True)
class GoldenReport:
    """A check: the file's story and what was found."""

    story: Provenance
    findings: tuple[GoldenFinding, ...]

    @property
    def agrees(self) -> bool:
        """Every finding is within what is allowed, and there is one."""
        return bool(self.findings) and all(one.agrees for one in self.findings)

    @property
    def identical(self) -> bool:
        """All bits are equal."""
        return bool(self.findings) and all(one.identical == one.calls for one in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON holds it; an infinite difference as null."""
        return {
            "agrees": self.agrees,
            "identical": self.identical,
            "story": asdict(self.story),
            "findings": [json_values(asdict(one)) for one in self.findings],
        }


def write(path: str | Path, model: ModelRope, subject: OnDevice, source: str = "") -> Provenance:
    """Record what a backend computes for every rope of a model.

    Args:
        path: The file to write.
        model: The ropes.
        subject: The backend and its device.
        source: What the file says the configuration is called.

    Returns:
        What the file says of its own making.

    Raises:
        ExtraMissing: The package safetensors is not installed.
        RopeConfigError: No config.json can say what the model is, so no other machine could read it; it has no rope;
            or it is larger than any model is.
    """
    require_recordable(model)
    arrays = {
        name: array
        for key, rope in model.ropes.items()
        for entry in entries(rope)
        for name, array in zip(entry.names(key), _stored(entry, entry.run(subject)), strict=True)
    }
    story = _tell(model, subject, source)
    file.write(Path(path), story, arrays)
    return story


def check(path: str | Path, subjects: Sequence[OnDevice]) -> GoldenReport:
    """Compare local backends with a golden file: bit for bit, and where bits differ in ulps.

    Raises:
        ExtraMissing: The package safetensors is not installed.
        RopeConfigError: The file is not to be believed; see `file.load`.
    """
    story, arrays = file.load(Path(path))
    model = _model(story.configuration)
    _require_plan(model, arrays, str(path))
    found = (one for key, rope in model.ropes.items() for one in _compare(key, rope, subjects, arrays))
    return GoldenReport(story, tuple(found))


def _configuration(model: ModelRope) -> dict[str, Any]:
    """Return the fragment of a config.json that reads as these ropes.

    Where a file stores q and k in another order of channels than the published weights (llama.cpp's permuted
    families), the fragment is of those, and `layout` beside it says how the stored channels pair.
    """
    layouts = {rope.layout for rope in model.ropes.values()}
    published = model.published_layout
    if published is None or layouts == {published} or len(layouts) > 1:
        return model.to_hf("v5")
    return {**_with_layout(model, published).to_hf("v5"), _LAYOUT: layouts.pop()}


def _model(configuration: dict[str, Any]) -> ModelRope:
    """Return the ropes that `_configuration` wrote."""
    model = read({key: value for key, value in configuration.items() if key != _LAYOUT})
    return _with_layout(model, configuration[_LAYOUT]) if _LAYOUT in configuration else model


def _with_layout(model: ModelRope, layout: Any) -> ModelRope:
    return replace(model, ropes={key: rope.replace(layout=layout) for key, rope in model.ropes.items()})


def _tell(model: ModelRope, subject: OnDevice, source: str) -> Provenance:
    import tightrope

    return Provenance(
        source=source,
        configuration=_configuration(model),
        backend=subject.name,
        path=subject.backend.path(subject.device),
        framework=subject.backend.version,
        tightrope=tightrope.__version__,
        python=platform.python_version(),
        numpy=np.__version__,
        machine=f"{platform.system()} {platform.machine()}",
    )


def _compare(key: str, rope: RopeConfig, subjects: Sequence[OnDevice], arrays: Arrays) -> Iterator[GoldenFinding]:
    groups: dict[tuple[str, str], list[Quantity]] = defaultdict(list)
    for entry in entries(rope):
        groups[entry.kind, entry.numbers].append(entry)
    for (kind, _), group in groups.items():
        if kind == "frequencies":
            yield _find(CORE, key, group, subjects[0], arrays)
        else:
            yield from (_find(subject.name, key, group, subject, arrays) for subject in subjects)


def _find(name: str, key: str, group: Sequence[Quantity], subject: OnDevice, arrays: Arrays) -> GoldenFinding:
    first = group[0]
    finding = GoldenFinding(name, key, first.kind, first.numbers, len(group), 0, np.inf, first.allowed)
    try:
        figures = [_figure(key, entry, subject, arrays) for entry in group]
    except RopeError:
        raise
    except Exception as error:  # whatever a framework raises is a finding about it, and the other checks go on
        return replace(finding, problem=f"{type(error).__name__}: {error}")
    return replace(finding, identical=sum(one.identical for one in figures), ulps=worst(figures).ulps)


def _figure(key: str, entry: Quantity, subject: OnDevice, arrays: Arrays) -> Figure:
    ours = entry.run(subject)
    for name, one in zip(entry.names(key), _stored(entry, ours), strict=True):
        if (arrays[name].dtype, arrays[name].shape) != (one.dtype, one.shape):
            raise RopeConfigError(f"array {name!r} has the dtype or the shape of another format")
    theirs = tuple(_held(entry, arrays[name]) for name in entry.names(key))
    norms = entry.norm(theirs)
    return worst(compare(left, right, norm, entry.eps) for left, right, norm in zip(ours, theirs, norms, strict=True))


def _require_plan(model: ModelRope, arrays: Arrays, source: str) -> None:
    """Check that the file holds exactly what its format records for its configuration."""
    require_recordable(model)
    expected = {name for key, rope in model.ropes.items() for entry in entries(rope) for name in entry.names(key)}
    missing, foreign = sorted(expected - set(arrays)), sorted(set(arrays) - expected)
    problems = [f"array {name!r} is missing" for name in missing[:3]]
    problems += [f"array {name!r} does not belong to its configuration" for name in foreign[:3]]
    if problems:
        raise RopeConfigError(problems, source=source)


def _stored(entry: Quantity, arrays: tuple[Array, ...]) -> tuple[Array, ...]:
    """Return arrays as the file holds them: bfloat16 as its 16 bits, float16 as such."""
    if entry.numbers == "bfloat16":
        return tuple((np.ascontiguousarray(x, np.float32).view(np.uint32) >> 16).astype(np.uint16) for x in arrays)
    return tuple(x.astype(np.float16) for x in arrays) if entry.numbers == "float16" else arrays


def _held(entry: Quantity, array: Array) -> Array:
    """Undo `_stored`."""
    if entry.numbers == "bfloat16":
        return (array.astype(np.uint32) << 16).view(np.float32)
    return array.astype(np.float32) if entry.numbers == "float16" else array
