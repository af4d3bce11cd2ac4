"""The configurations of families that rotate nothing by token, as a reader might be given them."""

import importlib
import inspect
from collections.abc import Iterator

ROTARY_IF_ASKED = {"position_embeddings_type": "rotary"}


def configurations(family: str) -> Iterator[dict]:
    """Yield every configuration of a family that has a model_type, rotary where it can be told to."""
    module = importlib.import_module(f"transformers.models.{family}.configuration_{family}")
    for cls in vars(module).values():
        if inspect.isclass(cls) and cls.__module__ == module.__name__ and getattr(cls, "model_type", ""):
            values = cls().to_dict()
            yield values | {key: value for key, value in ROTARY_IF_ASKED.items() if key in values}
