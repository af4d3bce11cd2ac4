"""Moving keys that were rotated before: to other frequencies, to other positions."""

from typing import TYPE_CHECKING, ClassVar

from tightrope.backends.shared.angles import Phase, Table
from tightrope.backends.shared.arguments import Lengths, batch_and_seq, find_lengths
from tightrope.backends.shared.ops import Array, Ops, Order
from tightrope.backends.shared.positions import find_positions, positions_from
from tightrope.backends.shared.rope_angles import RopeAngles
from tightrope.backends.shared.rotation import rotate_by
from tightrope.rope.config.rope import RopeConfig
from tightrope.rope.errors import RopeConfigError
from tightrope.rope.frequencies import Frequencies


class KeyCacheMixin:
    """Moves the rotated keys of a cache, exactly in phase: a part of `RotaryBase`."""

    ops: ClassVar[Ops]

    if TYPE_CHECKING:

        def _checked_rope(self, name: str, x: Array, layer_type: str | None, order: Order) -> RopeAngles: ...

    def rerotate(
        self, k: Array, positions: Array, old: Frequencies, new: Frequencies,
        *, layer_type: str | None = None, order: Order = "bhsd",
    ) -> Array:  # fmt: skip
        """Return keys that were rotated at positions by old frequencies as new ones would have rotated them.

        k′ = R(new) R(old)⁻¹ k, in place where the framework writes in place. The phase is exact: the difference of the
        frequencies is taken in 64 bits; the key itself is rounded once more. Precision "float32" moves between the
        float32 angles.

        Args:
            k: Rotated keys, see the call.
            positions: See the call.
            old: What `tightrope.frequencies` returned for the length at which k was rotated.
            new: The same for the length that holds now; attention factors change by new / old.
            layer_type: Which rope; needed where there are several.
            order: See the call.
        """
        rope_angles = self._checked_rope("k", k, layer_type, order)
        check_frequencies(rope_angles.config, old, new)
        found = find_positions(self.ops, rope_angles.config, positions, None, batch_and_seq(k, order)[1], k, order)
        return self._moved(k, rope_angles, rope_angles.moved(found, old, new, k), order)

    def shift(
        self, k: Array, delta: int | Array, *, seq_len: Lengths | None = None,
        layer_type: str | None = None, order: Order = "bhsd",
    ) -> Array:  # fmt: skip
        """Return rotated keys as if they stood delta positions further on; see `rerotate`.

        k′ = R(delta) k; no position is needed, and the attention factor stays.

        Args:
            k: Rotated keys, see the call.
            delta: Positions to move by, negative to move back: an int, or one per row (batch,).
            seq_len: Tokens in context when the keys were rotated; needed where the frequencies follow it.
            layer_type: Which rope; needed where there are several.
            order: See the call.
        """
        rope_angles = self._checked_rope("k", k, layer_type, order)
        _, seq = batch_and_seq(k, order)
        by = positions_from(self.ops, "delta", delta, 1, k).values
        return self._moved(k, rope_angles, rope_angles.shifted(by, seq, find_lengths(self.ops, seq_len), k), order)

    def _moved(self, k: Array, rope_angles: RopeAngles, source: Phase | Table, order: Order) -> Array:
        rope = rope_angles.config
        return rotate_by(self.ops, k, None, source, rope.layout, rope.side, order, in_place=self.ops.in_place)


def check_frequencies(config: RopeConfig, old: Frequencies, new: Frequencies) -> None:
    """Raise where old and new are not frequencies of this rope in one precision."""
    for name, freqs in (("old", old), ("new", new)):
        if not isinstance(freqs, Frequencies):
            raise RopeConfigError(f"{name} must be what tightrope.frequencies returned, got {type(freqs).__name__}")
        if freqs.inv_freq.shape != (config.pairs,):
            raise RopeConfigError(f"{name} must hold {config.pairs} frequencies, got {freqs.inv_freq.shape[0]}")
    if old.inv_freq.dtype != new.inv_freq.dtype:
        raise RopeConfigError(f"old and new must be of one precision, got {old.inv_freq.dtype}, {new.inv_freq.dtype}")
