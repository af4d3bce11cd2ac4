"""Tightrope: rotary position embeddings, done once, the same on every machine."""

from tightrope.backends import load as load_backend
from tightrope.backends.learning import learn_family as _learn_family
from tightrope.backends.patching import patch, patched, unpatch
from tightrope.backends.patching.loading import load_mlx
from tightrope.backends.shared.declared import sequence
from tightrope.rope import positions
from tightrope.rope.config import ModelRope, RopeConfig
from tightrope.rope.config.mrope import MRope
from tightrope.rope.config.query_scale import QueryScale
from tightrope.rope.errors import BackendUnavailable, ExtraMissing, RopeConfigError, RopeError, RopeWarning
from tightrope.rope.frequencies import Frequencies, frequencies
from tightrope.rope.identity.fingerprints import fingerprint
from tightrope.rope.reading import read
from tightrope.rope.reading.conversion import convert
from tightrope.rope.reading.families.learned import register_learner as _register_learner
from tightrope.rope.reading.write import to_hf
from tightrope.rope.scaling import Scaling, rope_type

__version__ = "0.1.0"

_register_learner(_learn_family)  # here, where both are known: reading reaches no backend by itself

__all__ = [
    "BackendUnavailable",
    "ExtraMissing",
    "Frequencies",
    "MRope",
    "ModelRope",
    "QueryScale",
    "RopeConfig",
    "RopeConfigError",
    "RopeError",
    "RopeWarning",
    "Scaling",
    "__version__",
    "convert",
    "fingerprint",
    "frequencies",
    "load_backend",
    "load_mlx",
    "patch",
    "patched",
    "positions",
    "read",
    "rope_type",
    "sequence",
    "to_hf",
    "unpatch",
]
