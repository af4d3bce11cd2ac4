"""vLLM's own ropes, for the audit: its configuration and model classes on the meta device, `get_rope` recorded.

vLLM sets up one process for one model, so each model is built in a process of its own, which runs this module and
leaves the tables of cos and sin behind. No weights, nothing downloaded. It was written for vLLM 0.32: names within vLLM
that this module needs and another version does not have are said.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tightrope.rope import reference
from tightrope.rope.config.model import ModelRope
from tightrope.rope.config.terms import Layout
from tightrope.verify.audit.peers import PeerEnds, PeerLacks, PeerRefuses

WRITTEN_FOR: Final = "0.32"
_SECONDS: Final = 240
# Enough for every pattern of layers, few enough to build in seconds; experts bear on no rope.
_LAYERS: Final = 8
_COUNTS: Final = ("num_hidden_layers", "n_layer", "num_layers")
_LISTS: Final = ("layer_types", "no_rope_layers", "mlp_layer_types", "layers_block_type", "block_configs")
_EXPERTS: Final = ("n_routed_experts", "num_experts", "num_local_experts")
_MOVED: Final = "moved"


class BuiltVllm:
    """See `tightrope.verify.audit.peers.Built`."""

    softmax_scale: float | None = None
    multiplies = False

    def __init__(self, model: ModelRope, found: dict[str, Any], tables: dict[str, NDArray[np.float32]]) -> None:
        self.model, self.found, self.tables = model, found, tables
        self.settings = f"max_model_len {found['max_model_len']:,}"

    def rotate(self, layer: int, x: NDArray[np.float32], offset: int) -> NDArray[np.float32]:
        """See `tightrope.verify.audit.peers.Built.rotate`."""
        rope = self.found["layers"].get(str(layer))
        if rope is None:
            raise PeerLacks(f"layer {layer} asks for no rope, or is not among the {_LAYERS} that are built")
        table, stop = self.tables[rope["table"]], offset + x.shape[2]
        if stop > self.found["max_model_len"]:
            raise PeerEnds
        if stop > len(table):
            raise PeerRefuses(f"its table ends at position {len(table):,}, before max_model_len; its kernel reads on")
        cos, sin = np.split(table[offset:stop].astype(np.float64), 2, axis=-1)
        layout: Layout = "half" if rope["neox"] else "interleaved"
        return reference.rotate(x, cos[None, None], sin[None, None], layout=layout).astype(np.float32)

    def mends(self) -> str:
        """See `tightrope.verify.audit.peers.Built.mends`."""
        return "vLLM builds its own tables; its --hf-overrides can say what it does not read"


def build(config: dict[str, Any], model: ModelRope, context: int | None = None) -> BuiltVllm:
    """See `tightrope.verify.audit.peers.Peer.build`; `context` is vLLM's max_model_len."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "config.json").write_text(json.dumps(narrow(config)))
        found = _built_elsewhere(folder, context)
        if "error" in found:
            raise (PeerLacks if found.get(_MOVED) else PeerRefuses)(found["error"])
        with np.load(Path(folder) / "tables.npz") as arrays:
            tables = {name: arrays[name] for name in arrays.files}
    return BuiltVllm(model, found, tables)


def narrow(config: dict[str, Any]) -> dict[str, Any]:
    """Return a configuration of few layers and experts, and without quantisation: its ropes are the same."""
    cut = {key: value for key, value in config.items() if key != "quantization_config"}
    for key, value in cut.items():
        if isinstance(value, dict) and key.endswith("_config"):
            cut[key] = narrow(value)
        elif key in _COUNTS and isinstance(value, int):
            cut[key] = min(value, _LAYERS)
        elif key in _LISTS and isinstance(value, list):
            cut[key] = value[:_LAYERS]
        elif key in _EXPERTS and isinstance(value, int):
            cut[key] = min(value, 8)
        elif key in ("n_group", "topk_group") and isinstance(value, int):
            cut[key] = 1
        elif key == "num_experts_per_tok" and isinstance(value, int):
            cut[key] = min(value, 2)
        elif key == "full_attn_idxs" and isinstance(value, list):
            cut[key] = [index for index in value if isinstance(index, int) and index < _LAYERS]
    return cut


def _built_elsewhere(folder: str, context: int | None) -> dict[str, Any]:
    """Return what the process that builds a model found: its layers, or its error in words."""
    quiet = {"VLLM_LOGGING_LEVEL": "ERROR", "CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1", "DO_NOT_TRACK": "1"}
    quiet |= {"VLLM_NO_USAGE_STATS": "1", "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CACHE_ROOT": folder}
    command = [sys.executable, "-m", "tightrope.verify.audit.peer_vllm", folder, str(context or 0)]
    try:
        done = subprocess.run(
            command, env=os.environ | quiet, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return {"error": f"it does not build this model within {_SECONDS} s"}
    path = Path(folder) / "found.json"
    if not path.exists():
        last = (done.stderr.strip() or f"exit status {done.returncode}").splitlines()[-1]
        return {"error": f"its process ended: {last}"}
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def _main(folder: str, context: int | None) -> None:
    """Build the model of a folder and leave found.json and tables.npz there: what the process of its own does."""
    found: dict[str, Any]
    try:
        found = _record(folder, context)
    except ModuleNotFoundError as error:
        found = {"error": f"vLLM does not import: {error}", _MOVED: True}
    except (ImportError, AttributeError) as error:
        version = metadata.version(metadata.packages_distributions()["vllm"][0])
        words = f"{error} (this audit was written for vLLM {WRITTEN_FOR}; in {version} something may have moved)"
        found = {"error": words, _MOVED: True}
    except Exception as error:  # whatever vLLM raises is its refusal
        found = {"error": f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"}
    (Path(folder) / "found.json").write_text(json.dumps(found))


def _record(folder: str, context: int | None) -> dict[str, Any]:
    """Return which table each layer of vLLM's model asks for; the tables are written into the folder."""
    import torch
    import vllm.model_executor.layers.rotary_embedding as ropes
    from vllm.config import LoadConfig, ModelConfig, VllmConfig, set_current_vllm_config
    from vllm.distributed import init_distributed_environment, initialize_model_parallel
    from vllm.model_executor.models import registry

    asked: list[tuple[str, Any]] = []
    own = ropes.get_rope

    def recording(*args: Any, **kwargs: Any) -> Any:
        caller = sys._getframe(1)
        with torch.device("cpu"):  # tables need values, weights do not
            rope = own(*args, **{**kwargs, "dtype": kwargs.get("dtype") or torch.float32})
        asked.append((str(caller.f_locals.get("prefix", "")), rope))
        return rope

    ropes.get_rope = recording  # before any model module imports it by name
    # Models are inspected in processes of their own otherwise, which take a minute and find no recorder.
    registry._LazyRegisteredModel.inspect_model_cls = lambda self: registry._ModelInfo.from_model_cls(
        self.load_model_cls()
    )
    from vllm.model_executor.model_loader.utils import initialize_model

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
            initialize_model(config)
    layers: dict[str, dict[str, Any]] = {}
    tables: dict[str, Any] = {}
    for prefix, rope in asked:
        layer = re.search(r"layers\.(\d+)\b", prefix)
        if layer:
            name = f"t{id(rope)}"
            tables[name] = _table(rope)
            layers.setdefault(layer[1], {"table": name, "neox": bool(rope.is_neox_style)})
    np.savez(Path(folder) / "tables.npz", **tables)
    return {"layers": layers, "max_model_len": model.max_model_len}


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


if __name__ == "__main__":
    _main(sys.argv[1], int(sys.argv[2]) or None)
