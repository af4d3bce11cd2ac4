"""A package named vllm with the names that the audit uses: models of eight layers with one plain rope each.

It reads base, width and length of a config.json, pairs channels as Cohere does where model_type says so, and otherwise
as Llama does. `pretend` in a config.json makes it raise (`refuse`), end (`end`), serve a
table that is too short (`short`) or run transformers' own code (`transformers`).
"""

_FILES = {
    "__init__.py": "",
    "model_executor/__init__.py": "",
    "model_executor/layers/__init__.py": "",
    "model_executor/layers/rotary_embedding.py": """
import torch

class Rope:
    def __init__(self, table, neox):
        self.cos_sin_cache, self.is_neox_style = table, neox

def get_rope(width, length, base, neox, dtype):
    angles = torch.arange(length, dtype=torch.float64)[:, None] * base ** (-torch.arange(0, width, 2) / width).double()
    return Rope(torch.cat((angles.cos(), angles.sin()), -1).to(dtype), neox)
""",
    "model_executor/models/__init__.py": "",
    "model_executor/models/registry.py": """
class _LazyRegisteredModel: pass
class _ModelInfo: pass
""",
    "model_executor/model_loader/__init__.py": "",
    "model_executor/model_loader/utils.py": """
import os
import torch

def initialize_model(config):
    from vllm.model_executor.layers.rotary_embedding import get_rope
    content = config.model_config.content
    pretend = content.get("pretend", "")
    if pretend == "refuse":
        content["no_such_key"]
    if pretend == "end":
        os._exit(3)
    width = content["hidden_size"] // content["num_attention_heads"]
    length = 64 if pretend == "short" else content["max_position_embeddings"]
    def attention(prefix):
        rotary(content["rope_theta"] * (100 if "vision" in prefix else 1))
    def rotary(base):
        get_rope(width, length, base, content["model_type"] != "cohere")
    if pretend == "transformers":
        return type("TransformersForCausalLM", (torch.nn.Module,), {})()
    for prefix in ("vision_tower.layers.0", *(f"model.layers.{index}.self_attn" for index in range(8))):
        attention(prefix)
    return type("LlamaForCausalLM", (torch.nn.Module,), {})()
""",
    "config.py": """
import contextlib, json, pathlib

class ModelConfig:
    def __init__(self, model, tokenizer, skip_tokenizer_init, dtype, max_model_len, enforce_eager, seed):
        self.content = json.loads(pathlib.Path(model, "config.json").read_text())
        self.max_model_len = max_model_len or self.content["max_position_embeddings"]

class LoadConfig:
    def __init__(self, load_format): pass

class VllmConfig:
    def __init__(self, model_config, load_config):
        self.model_config = model_config

def set_current_vllm_config(config):
    return contextlib.nullcontext()
""",
    "transformers_utils/__init__.py": "",
    "transformers_utils/config.py": "_CONFIG_REGISTRY = {}",
    "distributed.py": """
def init_distributed_environment(*arguments): pass
def initialize_model_parallel(*arguments): pass
""",
}


def write(folder, **changed):
    """Write the package into a folder; `changed` are files that differ, by name without `.py`, None for none."""
    for name, text in {**_FILES, **{f"{name}.py": text for name, text in changed.items()}}.items():
        path = folder / "vllm" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if text is not None:
            path.write_text(text)
    return folder
