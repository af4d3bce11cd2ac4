"""The ropes of a model at work: what every `RotaryEmbedding` holds, whatever it is asked to do."""

from copy import copy
from typing import ClassVar, Self

from tightrope.backends.shared.arguments import check_order, check_precision, check_rotatable
from tightrope.backends.shared.ops import Array, Ops, Order
from tightrope.backends.shared.rope_angles import RopeAngles
from tightrope.rope.config.model import ModelRope
from tightrope.rope.config.rope import RopeConfig
from tightrope.rope.errors import RopeConfigError
from tightrope.rope.frequencies import Precision
from tightrope.rope.schedule import FrequencySchedule, Policy, Switch


class Ropes:
    """The ropes of a model at work; shared by a module and its views of single layers."""

    def __init__(self, ops: Ops, model: ModelRope, precision: Precision, policy: Policy, switch: Switch) -> None:
        self.model = model
        self.rope_angles = {
            key: RopeAngles(ops, FrequencySchedule(rope, policy, switch), precision)
            for key, rope in model.ropes.items()
        }
        self.only = next(iter(self.rope_angles)) if len(self.rope_angles) == 1 else None


class HasRopes:
    """Ropes by layer type, with what they keep on devices.

    Nothing in it is trained, saved or converted: all tables follow from the configuration.

    Args:
        model: What `tightrope.read` returned, or a single `RopeConfig`.
        precision: `"exact"`: phases in integers, cos and sin within 1e-7. `"float32"`: transformers' arithmetic.
        policy: Which frequencies hold where they follow the length, see `FrequencySchedule`.
        switch: Which table holds for rope types that have two, see `FrequencySchedule`.

    Raises:
        RopeConfigError: An argument is not allowed.
    """

    ops: ClassVar[Ops]

    def __init__(
        self,
        model: ModelRope | RopeConfig,
        precision: Precision = "exact",
        policy: Policy = "row",
        switch: Switch = "auto",
    ) -> None:
        super().__init__()
        if isinstance(model, RopeConfig):
            model = ModelRope(ropes={"default": model}, layers=())
        if not isinstance(model, ModelRope):
            raise RopeConfigError(
                f"model must be a ModelRope (tightrope.read) or a RopeConfig, got {type(model).__name__}"
            )
        check_precision(precision)
        self.precision = precision
        self.policy = policy
        self.switch = switch
        self.layer_type: str | None = None
        self._ropes = Ropes(self.ops, model, precision, policy, switch)

    @property
    def model(self) -> ModelRope:
        """The ropes of the model, layer by layer."""
        return self._ropes.model

    def for_layer(self, index: int) -> Self | None:
        """Return the rope of layer `index`, which needs no layer_type; None where the layer has no position."""
        if self.model.for_layer(index) is None:
            return None
        view = copy(self)  # shares the tables and the state
        view.layer_type = self.model.layers[index]
        return view

    def described(self) -> str:
        """Return the ropes in a line, for `repr`."""
        ropes = (
            f"{key}: {rope.scaling.rope_type}, base={rope.base:g}, rotary_dim={rope.rotary_dim}, {rope.layout}"
            for key, rope in self.model.ropes.items()
        )
        return "; ".join(ropes)

    def _rope_angles(self, name: str, x: Array, layer_type: str | None, order: Order) -> RopeAngles:
        """Return the rope that x is to be rotated by, after a check that it can be."""
        check_order(order)
        rope_angles = self._ropes.rope_angles[self._key(layer_type)]
        check_rotatable(self.ops, name, x, rope_angles.config.pairs, order)
        return rope_angles

    def _key(self, layer_type: str | None) -> str:
        wanted = self.layer_type if layer_type is None else layer_type
        only = self._ropes.only
        return only if wanted is None and only is not None else self.model.key(wanted)
