"""vLLM's own ropes, for the audit: the tables that its model classes ask for, built in a process of its own.

Nothing here imports vLLM; `peer_vllm_worker` does.
"""

import contextlib
import functools
import json
import os
import signal
import subprocess
import sys
import tempfile
import weakref
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
from numpy.typing import NDArray

from tightrope.rope import reference
from tightrope.rope.config.model import ModelRope
from tightrope.rope.config.terms import Layout
from tightrope.verify.audit.comparison import rows_compared
from tightrope.verify.audit.peer_vllm_worker import SECONDS
from tightrope.verify.audit.peers import Built, PeerEnds, PeerLacks, PeerRefuses, PeerUnusable
from tightrope.verify.children import end_process

WRITTEN_FOR: Final = "0.32"
# Enough for every pattern of layers, few enough to build in seconds; experts bear on no rope.
_LAYERS: Final = 8
_COUNTS: Final = ("num_hidden_layers", "n_layer", "num_layers")
_LISTS: Final = ("layer_types", "no_rope_layers", "mlp_layer_types", "layers_block_type", "block_configs")
_EXPERTS: Final = ("n_routed_experts", "num_experts", "num_local_experts")
_QUIET: Final = {
    "VLLM_LOGGING_LEVEL": "ERROR", "CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1", "DO_NOT_TRACK": "1",
    "VLLM_NO_USAGE_STATS": "1", "VLLM_CPU_KVCACHE_SPACE": "1",
}  # fmt: skip


class BuiltVllm(Built):
    """See `tightrope.verify.audit.peers.Built`."""

    def __init__(self, model: ModelRope, found: dict[str, Any], tables: dict[str, NDArray[np.float32]]) -> None:
        self.model, self.found, self.tables = model, found, tables
        self.settings = f"max_model_len {found['max_model_len']:,}"
        if found["stood_in"]:
            self.settings += f", a plain configuration class for {found['stood_in']}"
        rows, longest = min((rope["rows"] for rope in found["layers"].values()), default=0), found["max_model_len"]
        if 0 < rows < longest:
            self.beyond = f"reading past its table of cos and sin, which ends at position {rows:,} of {longest:,}"

    def rotate(self, layer: int, x: NDArray[np.float32], offset: int) -> NDArray[np.float32]:
        """See `tightrope.verify.audit.peers.Built.rotate`."""
        rope = self.found["layers"].get(str(layer), self.found["layers"].get("*"))
        if rope is None:
            raise PeerLacks(self._without(layer))
        stop = offset + x.shape[2]
        if stop > min(rope["rows"], self.found["max_model_len"]):
            raise PeerEnds
        cos, sin = np.split(self.tables[rope["table"]][offset:stop].astype(np.float64), 2, axis=-1)
        layout: Layout = "half" if rope["neox"] and not self.found["permutes"] else "interleaved"
        return reference.rotate(x, cos[None, None], sin[None, None], layout=layout).astype(np.float32)

    def _without(self, layer: int) -> str:
        """Return why a layer has no rope."""
        if not self.found["layers"] and self.found["class"].startswith("Transformers"):
            return f"{self.found['class']} runs it by transformers' own code"
        if layer >= _LAYERS:
            return f"layer {layer} is not among the {_LAYERS} that are built"
        return f"layer {layer} of {self.found['class']} asks for no rope of vLLM's"

    def mends(self) -> str:
        """See `tightrope.verify.audit.peers.Built.mends`."""
        return "vLLM builds its own tables; its --hf-overrides can say what it does not read"


def build(config: dict[str, Any], model: ModelRope, context: int | None = None) -> BuiltVllm:
    """See `tightrope.verify.audit.peers.Peer.build`; `context` is vLLM's max_model_len."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "config.json").write_text(json.dumps(narrow(config)))
        rows = max(map(rows_compared, model.ropes.values()))
        found = _built_elsewhere({"folder": folder, "context": context, "rows": rows})
        if "moved" in found:
            raise PeerUnusable(f"{found['moved']}: this audit knows the inside of vLLM {WRITTEN_FOR}, which has moved")
        if "broken" in found:
            raise PeerUnusable(found["broken"])
        if "error" in found:
            raise PeerRefuses(found["error"])
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
        elif key == "num_kv_shared_layers" and isinstance(value, int):
            cut[key] = 0  # the layers that share are the last
        elif key == "num_experts_per_tok" and isinstance(value, int):
            cut[key] = min(value, 2)
        elif key == "full_attn_idxs" and isinstance(value, list):
            cut[key] = [index for index in value if isinstance(index, int) and index < _LAYERS]
    return cut


class Worker:
    """The process that imports vLLM once and forks for each model."""

    def __init__(self) -> None:
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115  # lives as long as the process
        self.cache = tempfile.TemporaryDirectory()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tightrope.verify.audit.peer_vllm_worker"],
            env=os.environ | _QUIET | {"VLLM_CACHE_ROOT": self.cache.name},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True,
        )  # fmt: skip
        self.close = weakref.finalize(self, _end, self.process, self.errors, self.cache)
        self.problem = self._answer()

    def build(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return what a child found, or in words why there is nothing."""
        if self.problem or self.process.stdin is None:
            return self.problem
        with contextlib.suppress(OSError):  # the missing answer shows that the process ended
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
        answer = self._answer()
        path = Path(request["folder"], "found.json")
        if path.exists():
            found: dict[str, Any] = json.loads(path.read_text())
            return found
        self.problem = answer if "broken" in answer else {}
        return self.problem or {"error": _how_it_ended(answer["status"], Path(request["folder"], "stderr.txt"))}

    def _answer(self) -> dict[str, Any]:
        line = "" if self.process.stdout is None else self.process.stdout.readline()
        if line:
            answer: dict[str, Any] = json.loads(line)
            return answer
        self.errors.seek(0)
        last = self.errors.read().decode("utf-8", "replace").strip().splitlines()[-1:]
        return {"broken": f"its process ended with status {self.process.wait()}: {''.join(last) or 'nothing said'}"}


_worker = functools.cache(Worker)


def _built_elsewhere(request: dict[str, Any]) -> dict[str, Any]:
    """Return what the process that builds a model found: its layers, or its error in words."""
    return _worker().build(request)


def _how_it_ended(status: int, errors: Path) -> str:
    if status == -signal.SIGALRM:
        return f"it does not build this model within {SECONDS} s"
    said = errors.read_text("utf-8", "replace").strip().splitlines() if errors.exists() else []
    return f"its process ended with status {status}" + (f": {said[-1]}" if said else "")


def _end(process: "subprocess.Popen[str]", errors: IO[bytes], cache: "tempfile.TemporaryDirectory[str]") -> None:
    end_process(process, errors)
    cache.cleanup()
