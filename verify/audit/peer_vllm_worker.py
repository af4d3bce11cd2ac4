"""The process that builds vLLM's models for the audit: the one module that imports vLLM.

vLLM sets up one process for one model, and takes ten seconds to import: this process imports it once and forks for
each model. Model classes are built on the meta device with `get_rope` recorded: no weights, nothing downloaded. A child
leaves found.json and tables.npz in the folder that has its config.json. Written for vLLM 0.32.
"""

import json
import os
import re
import signal
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

SECONDS: Final = 240
_QUOTED: Final = 300
# Towers have layers of their own.
_TOWERS: Final = re.compile(r"vision|visual|audio|image")
_LAYER: Final = re.compile(r"(?:layers|blocks|h)\.(\d+)\b")

# What a checkpoint's own configuration class fills in; nothing of rotation.
_FILLED_IN: Final[dict[str, Any]] = {
    "activation_function": "silu", "attention_bias": False, "attention_dropout": 0.0, "attention_qk_norm": False,
    "bias": False, "embedding_dropout": 0.0, "first_k_dense_replace": 0, "hidden_act": "silu",
    "intermediate_size": 64, "layer_norm_epsilon": 1e-5, "mlp_bias": False, "moe_drop_tokens": False,
    "moe_intermediate_size": 64, "moe_router_enable_expert_bias": False, "moe_topk": 2, "norm_after_qk_proj": True,
    "norm_topk_prob": True, "num_experts": 8, "num_experts_per_tok": 2, "num_shared_expert": 1,
    "num_shared_experts": 0, "pad_token_id": 0, "qkv_bias": False, "rms_norm_eps": 1e-6, "score_function": None,
    "tie_word_embeddings": False, "use_bias": False, "use_cla": False, "use_qk_norm": True, "use_qkv_bias": False,
    "vocab_size": 64,
}  # fmt: skip

_asked: list[tuple[str, Any]] = []


def prepare() -> None:
    """Import what is needed of vLLM, and record every rope that a model asks for.

    Raises:
        ImportError, AttributeError: This vLLM does not have a name that is needed.
    """
    import torch
    import vllm.model_executor.layers.rotary_embedding as ropes
    from vllm.model_executor.models import registry

    own = ropes.get_rope

    def recording(*args: Any, **kwargs: Any) -> Any:
        place = _place(sys._getframe(1))
        with torch.device("cpu"):  # tables need values, weights do not
            rope = own(*args, **{**kwargs, "dtype": kwargs.get("dtype") or torch.float32})
        _asked.append((place, rope))
        return rope

    ropes.get_rope = recording  # before any model module imports it by name
    # Models are inspected in processes of their own otherwise, which take a minute and find no recorder.
    registry._LazyRegisteredModel.inspect_model_cls = lambda self: registry._ModelInfo.from_model_cls(
        self.load_model_cls()
    )
    from vllm.config import LoadConfig, ModelConfig, VllmConfig, set_current_vllm_config  # noqa: F401
    from vllm.distributed import init_distributed_environment, initialize_model_parallel  # noqa: F401
    from vllm.model_executor.model_loader.utils import initialize_model  # noqa: F401


def _place(frame: FrameType | None) -> str:
    """Return the name of the module that is being built: the nearest one with the number of a layer."""
    named = ""
    while frame is not None:
        prefix = frame.f_locals.get("prefix")
        if isinstance(prefix, str) and prefix:
            named = named or prefix
            if _LAYER.search(prefix):
                return prefix
        frame = frame.f_back
    return named


def record(folder: str, context: int | None, rows: int) -> dict[str, Any]:
    """Return which table each layer of vLLM's model asks for; their first rows are written into the folder."""
    import torch
    from vllm.config import LoadConfig, ModelConfig, VllmConfig, set_current_vllm_config
    from vllm.distributed import init_distributed_environment, initialize_model_parallel
    from vllm.model_executor.model_loader.utils import initialize_model

    stood_in = _stand_in(folder)
    model = ModelConfig(
        model=folder, tokenizer=folder, skip_tokenizer_init=True, dtype="float32", max_model_len=context,
        enforce_eager=True, seed=0,
    )  # fmt: skip
    config = VllmConfig(model_config=model, load_config=LoadConfig(load_format="dummy"))
    with set_current_vllm_config(config):
        init_distributed_environment(1, 0, f"file://{folder}/dist", 0, "gloo")
        initialize_model_parallel(1, 1)
        torch.set_default_dtype(torch.float32)
        with torch.device("meta"):
            built = initialize_model(config)
    layers: dict[str, dict[str, Any]] = {}
    tables: dict[str, Any] = {}
    for layer, rope in _by_layer(_asked):
        table, name = _table(rope), f"t{id(rope)}"
        tables[name] = table[:rows]
        neox = bool(getattr(rope, "is_neox_style", True))  # LongRoPE's class has no other way
        layers.setdefault(layer, {"table": name, "rows": len(table), "neox": neox})
    np.savez(Path(folder) / "tables.npz", **tables)
    # Llama 4's weights are reordered as they are loaded: halves stand for its neighbours.
    permutes = any(hasattr(part, "permute_qk_weight_for_rotary") for part in built.modules())
    return {
        "layers": layers, "max_model_len": model.max_model_len, "permutes": permutes, "class": type(built).__name__,
        "stood_in": stood_in,
    }  # fmt: skip


def _stand_in(folder: str) -> str:
    """Register a plain configuration class for a model_type that has one only in its own repository; return that."""
    from transformers import AutoConfig, PretrainedConfig
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING
    from vllm.transformers_utils import config as known

    kind = json.loads((Path(folder) / "config.json").read_text()).get("model_type", "")
    if not isinstance(kind, str) or not kind or kind in CONFIG_MAPPING or kind in known._CONFIG_REGISTRY:
        return ""
    AutoConfig.register(kind, type("Plain", (PretrainedConfig,), {"model_type": kind, **_FILLED_IN}))
    return kind


def _by_layer(asked: list[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    """Yield each text layer with the rope that it asked for; `"*"` for what a model asks for outside its layers."""
    for place, rope in asked:
        if not _TOWERS.search(place):
            layer = _LAYER.search(place)
            yield layer[1] if layer else "*", rope


def _table(rope: Any) -> NDArray[np.float32]:
    """Return cos and sin side by side, a row a position; LongRoPE holds two tables and uses one, by max_model_len."""
    both = getattr(rope, "long_short_cos_sin_cache", None)
    if both is None:
        table = rope.cos_sin_cache
    else:
        length = rope.original_max_position_embeddings
        table = both[length:] if rope.use_long_rope else both[:length]
    found: NDArray[np.float32] = table.float().numpy()
    return found


def answer(folder: str, context: int | None, rows: int) -> dict[str, Any]:
    """Return what `record` finds, or vLLM's refusal, or the name within vLLM that is not where it was."""
    try:
        return record(folder, context, rows)
    except Exception as error:  # whatever vLLM raises is its refusal
        return {"moved" if reaches_into_vllm(error) else "error": _words(error)}


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:_QUOTED]}"


def reaches_into_vllm(error: Exception) -> bool:
    """Return whether an error is this module's own use of vLLM, not vLLM's judgement of a model."""
    frames = traceback.extract_tb(error.__traceback__)
    own = bool(frames) and frames[-1].filename == __file__
    return (own and isinstance(error, ImportError | AttributeError | TypeError)) or "unexpected_keyword" in str(error)


def _forked(request: dict[str, Any]) -> int:
    """Build a model in a process of its own, which leaves found.json in its folder; return how that ended."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    try:
        signal.alarm(SECONDS)
        folder = Path(request["folder"])
        os.dup2(os.open(folder / "stderr.txt", os.O_WRONLY | os.O_CREAT), 2)
        (folder / "found.json").write_text(json.dumps(answer(str(folder), request["context"], request["rows"])))
    finally:
        os._exit(0)  # never back into the loop of the parent


def main() -> None:
    """Answer requests, a line of JSON each, until there are no more; the first line says whether vLLM is usable."""
    with os.fdopen(os.dup(1), "w", buffering=1) as answers:
        os.dup2(2, 1)
        try:
            prepare()
        except Exception as error:  # a broken binary raises anything
            said = (
                {"moved": _words(error)}
                if reaches_into_vllm(error)
                else {"broken": f"it does not import: {_words(error)}"}
            )
            answers.write(json.dumps(said) + "\n")
            return
        answers.write("{}\n")
        for line in sys.stdin:
            answers.write(json.dumps({"status": _forked(json.loads(line))}) + "\n")


if __name__ == "__main__":
    main()
