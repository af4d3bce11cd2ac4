"""Made-up configurations in either spelling, for audits: what says how a model rotates, and little else."""

from typing import Any

from models.tiny_models import SIZES, fields

FILLED = {"rms_norm_eps": 1e-6}
YARN = {"rope_type": "yarn", "type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32_768}
LONG = {key: value for key, value in fields("phi3")["rope_parameters"].items() if key != "rope_theta"}


def older(model_type: str, scaling: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """Return a configuration with rope_theta and rope_scaling."""
    return {"model_type": model_type, **SIZES, **FILLED, "rope_theta": 500_000.0, "rope_scaling": scaling, **more}


def newer(model_type: str, **block: Any) -> dict[str, Any]:
    """Return a configuration with rope_parameters, as transformers 5 writes it."""
    block = {"rope_type": "default", "rope_theta": 500_000.0, **block}
    return {"model_type": model_type, **SIZES, **FILLED, "rope_parameters": block}


def clean(config: dict[str, Any]) -> dict[str, Any]:
    """Return a configuration without the keys whose value None takes out."""
    return {key: value for key, value in config.items() if value is not None or key == "rope_scaling"}
