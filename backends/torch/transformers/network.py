"""A transformers model without values, and the parts of it that rotate."""

from typing import Any, cast

import torch

from tightrope.backends.torch.transformers.forward import apply_functions


def build_network(text: Any) -> torch.nn.Module | None:
    """Return the model of a text configuration on the meta device; None where that is no model by itself."""
    from transformers import AutoModel

    try:
        with torch.device("meta"):
            network = AutoModel.from_config(text)  # type: ignore[no-untyped-call]  # untyped there
    except Exception:  # of parts that models are built of, some are in no register, some compute with their values
        return None
    return cast(torch.nn.Module, network)


def rotary_modules(network: torch.nn.Module, text: Any) -> list[Any]:
    """Return the rotary modules that a model builds for its text; conditions in its code count."""
    return [module for module in network.modules() if _is_rotary(module) and type(module.config) is type(text)]


def _is_rotary(module: torch.nn.Module) -> bool:
    named = type(module).__name__.endswith("RotaryEmbedding") and getattr(module, "config", None) is not None
    return named and not any(True for _ in module.parameters())


def with_values(rotary: Any) -> torch.nn.Module:
    """Return a rotary module like one on the meta device, on the CPU."""
    module: torch.nn.Module = type(rotary)(rotary.config)
    return module


def attention_modules(network: torch.nn.Module) -> list[Any]:
    """Return the modules of a model whose forward method calls an apply function; indexers choose keys only."""
    return [
        module
        for module in network.modules()
        if "ndexer" not in type(module).__name__ and apply_functions(type(module).forward)
    ]
