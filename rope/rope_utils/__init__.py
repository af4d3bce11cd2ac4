"""What transformers' `modeling_rope_utils` offers to configurations, without a framework.

For code that was written for transformers; new code takes `tightrope.read` and `RopeConfig`.
"""

from tightrope.rope.rope_utils.blocks import RopeParameters
from tightrope.rope.rope_utils.mixin import RotaryEmbeddingConfigMixin, rope_config_validation
from tightrope.rope.rope_utils.source import model_of, rope_of, values_of

__all__ = ["RopeParameters", "RotaryEmbeddingConfigMixin", "model_of", "rope_config_validation", "rope_of", "values_of"]
