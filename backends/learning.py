"""The learner of `tightrope.rope.reading.families.learned`: transformers, imported when an unknown family comes up."""

from importlib import import_module
from importlib.util import find_spec

from tightrope.rope.reading.families.learned import Learned


def learn_family(model_type: str) -> Learned | None:
    """Return what the installed transformers shows of a model_type; None without it, or where it does not know it."""
    if find_spec("torch") is None or find_spec("transformers") is None:
        return None
    try:
        module = import_module("tightrope.backends.torch.transformers.learning")
    except (ImportError, OSError, RuntimeError):  # a broken installation teaches nothing
        return None
    found: Learned | None = module.learn(model_type)
    return found
