"""The checks of `tightrope selftest`: one rotation on one device, in several forms, against the definition."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tightrope.backends.protocol import Backend
from tightrope.rope.config.model import ModelRope
from tightrope.rope.config.rope import RopeConfig
from tightrope.rope.reading import read
from tightrope.rope.reference import DTYPES, DType, cos_sin_bits, rotate_bits, round_to
from tightrope.verify.gallery import GALLERY
from tightrope.verify.parity.differences import EPS, Figure, compare, pair_norm, worst
from tightrope.verify.parity.tolerances import between, from_exact

Float32 = NDArray[np.float32]

_BATCH, _SEQ, _Q_HEADS, _K_HEADS = 2, 37, 6, 2
# One row within every original context length, one far beyond.
_LENGTHS: Final = (1000, 200_000)
# More tokens than a CUDA grid has blocks in y and z.
_MANY: Final = 70_000


@dataclass(frozen=True)
class DeviceCheck:
    """One comparison with the definition.

    Attributes:
        name: What was rotated, and how.
        identical: All bits are those of the definition.
        ulps: The largest difference, in ulps of the pair's norm.
        passed: Identical, or, by framework operations, within their tolerance.
        error: What the device said where it did not compute.
    """

    name: str
    identical: bool
    ulps: float
    passed: bool
    error: str = ""


@dataclass(frozen=True)
class Trial:
    """A rope of a model on a device, with inputs drawn for it."""

    backend: Backend
    device: str
    model: ModelRope
    key: str
    dtype: DType
    seq: int = _SEQ

    @property
    def rope(self) -> RopeConfig:
        """The rope."""
        return self.model.ropes[self.key]

    @cached_property
    def positions(self) -> NDArray[np.int64]:
        """(batch, seq), or (axes, batch, seq)."""
        axes = (self.rope.axes,) if self.rope.axes > 1 else ()
        return np.stack([self._random.integers(0, length, (*axes, self.seq)) for length in _LENGTHS], axis=len(axes))

    @cached_property
    def q(self) -> Float32:
        """(batch, heads, seq, head_dim)."""
        return self._drawn(_Q_HEADS, self.rope.head_dim)

    @cached_property
    def k(self) -> Float32:
        """As q, fewer heads; where the tail turns, as wide as what rotates."""
        return self._drawn(_K_HEADS, self.rope.rotary_dim if self.rope.side == "tail" else self.rope.head_dim)

    @cached_property
    def angles(self) -> tuple[Float32, Float32]:
        """Cos and sin of the definition, (batch, seq, pairs)."""
        return cos_sin_bits(self.rope, self.positions)

    def expected(self, x: Float32, *, transpose: bool = False) -> Float32:
        """Return x, (batch, heads, seq, width), as the definition rotates it."""
        cos, sin = (part[:, None] for part in self.angles)
        form: dict[str, Any] = {"layout": self.rope.layout, "side": self.rope.side, "transpose": transpose}
        return rotate_bits(x, cos, sin, dtype=self.dtype, **form)

    def module(self) -> Any:
        """Return the backend's rotary module."""
        return self.backend.RotaryEmbedding(self.model)

    def place(self, x: NDArray[Any]) -> Any:
        """Return an array on the device: floats in the trial's dtype, positions as int64."""
        return self.backend.asarray(x, self.dtype if x.dtype.kind == "f" else "int64", self.device)

    @cached_property
    def _random(self) -> np.random.Generator:
        return np.random.default_rng(20261122)

    def _drawn(self, heads: int, width: int) -> Float32:
        return round_to(self._random.standard_normal((_BATCH, heads, self.seq, width)), self.dtype)

    def figure(self, results: Any, expected: tuple[Float32, ...]) -> Figure:
        """Return how far arrays of the device lie from what they must be, the worst of them."""
        arrays = results if isinstance(results, tuple) else (results,)
        pairs = zip(arrays, expected, strict=True)
        return worst([self._compared(self.backend.to_numpy(here), there) for here, there in pairs])

    def _compared(self, here: NDArray[Any], there: Float32) -> Figure:
        return compare(here, there, pair_norm(self.rope, there), EPS[self.dtype])


def rotation(trial: Trial) -> Figure:
    """Q and k by positions."""
    rotated = trial.module()(
        trial.place(trial.q), trial.place(trial.k), positions=trial.place(trial.positions), layer_type=trial.key
    )
    return trial.figure(rotated, (trial.expected(trial.q), trial.expected(trial.k)))


def within_a_projection(trial: Trial) -> Figure:
    """Q and k as slices of one tensor, heads after tokens."""
    width = trial.q.shape[-1]
    k = trial.q[:, :_K_HEADS]
    both = trial.place(np.concatenate([trial.q, k, k], axis=1).swapaxes(1, 2))
    at = trial.place(trial.positions)
    q, k_part = both[:, :, :_Q_HEADS, :width], both[:, :, _Q_HEADS : _Q_HEADS + _K_HEADS]
    rotated = trial.module()(q, k_part, positions=at, layer_type=trial.key, order="bshd")
    return trial.figure(rotated, tuple(trial.expected(x).swapaxes(1, 2) for x in (trial.q, k)))


def by_given_angles(trial: Trial) -> Figure:
    """Q by angles that were computed before."""
    module = trial.module()
    angles = module.angles(trial.place(trial.positions))
    return trial.figure(module(trial.place(trial.q), angles=angles, layer_type=trial.key), (trial.expected(trial.q),))


def gradient(trial: Trial) -> Figure:
    """The gradient of q."""
    module, at = trial.module(), trial.place(trial.positions)
    cotangent = round_to(trial.q[..., ::-1], trial.dtype)
    gradients = trial.backend.vjp(
        lambda x: module(x, positions=at, layer_type=trial.key), [trial.place(trial.q)], [trial.place(cotangent)]
    )
    return trial.figure(tuple(gradients), (trial.expected(cotangent, transpose=True),))


def in_place(trial: Trial) -> Figure:
    """Q and k in their own memory, where the framework has that."""
    module = trial.module()
    q, k, at = trial.place(trial.q), trial.place(trial.k), trial.place(trial.positions)
    rotate = getattr(module, "rotate_", module)
    rotated = rotate(q, k, positions=at, layer_type=trial.key)
    results = (q, k) if hasattr(module, "rotate_") else rotated
    return trial.figure(results, (trial.expected(trial.q), trial.expected(trial.k)))


def compiled(trial: Trial) -> Figure:
    """Q and k in a graph of the framework's compiler."""
    module = trial.module()
    rotate = trial.backend.compiled(lambda q, k, at: module(q, k, positions=at, layer_type=trial.key), trial.device)
    rotated = rotate(trial.place(trial.q), trial.place(trial.k), trial.place(trial.positions))
    return trial.figure(rotated, (trial.expected(trial.q), trial.expected(trial.k)))


FORMS: Final = (rotation, within_a_projection, by_given_angles, gradient, in_place)


def checks(backend: Backend, device: str, *, exact: bool) -> Iterator[DeviceCheck]:
    """Yield every check of a device.

    Args:
        backend: The framework.
        device: One of its devices.
        exact: The code there promises the bits of the definition.
    """
    for name, source in GALLERY.items():
        model = read(source)
        for key, dtype, form in product(model.ropes, DTYPES, FORMS):
            yield _checked(
                f"{name}, {key}, {dtype}: {form.__doc__}", form, Trial(backend, device, model, key, dtype), exact
            )
    small = ModelRope(ropes={"default": RopeConfig(head_dim=4, rotary_dim=4, base=1e4, layout="half")}, layers=())
    yield _checked(f"{_MANY} tokens", rotation, Trial(backend, device, small, "default", "float32", _MANY), exact)
    for dtype in DTYPES:
        trial = Trial(backend, device, small, "default", dtype)
        yield _checked(f"{dtype}: {compiled.__doc__}", compiled, trial, exact=False)  # operations may rotate in a graph


def _checked(name: str, form: Callable[[Trial], Figure], trial: Trial, exact: bool) -> DeviceCheck:
    try:
        with trial.backend.on(trial.device):
            figure = form(trial)
    except Exception as error:  # whatever a driver or a compiler of the device raises belongs in the report
        return DeviceCheck(
            name, identical=False, ulps=float("inf"), passed=False, error=f"{type(error).__name__}: {error}"
        )
    one = from_exact("rotation", dtype=trial.dtype, scaled=True)
    passed = figure.identical if exact else figure.ulps <= between(one, one)
    return DeviceCheck(name, identical=figure.identical, ulps=figure.ulps, passed=passed)
