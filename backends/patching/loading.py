"""mlx-lm's `load`, with the rotation read by Tightrope before the model is built."""

import inspect
import json
import os
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from traceback import walk_tb
from typing import Any

from tightrope.backends.patching.models import patch
from tightrope.rope.config.model import ModelRope
from tightrope.rope.errors import BackendUnavailable, RopeConfigError, shortened
from tightrope.rope.reading import read
from tightrope.rope.reading.families import UNKNOWN_FAMILY, find_family
from tightrope.rope.reading.hub import is_hub_id, not_fetched
from tightrope.rope.reading.huggingface.model import text_key
from tightrope.rope.reading.write import rope_keys
from tightrope.rope.support.called import require_known, told_in_words
from tightrope.rope.support.extras import install_command
from tightrope.rope.support.files import why

# What mlx-lm's own download takes of a repository.
_FILES = [
    "*.json", "model*.safetensors", "*.py", "tokenizer.model", "*.tiktoken", "tiktoken.model", "*.txt", "*.jsonl",
    "*.jinja",
]  # fmt: skip
_OWN = ("precision", "policy", "switch", "tensor_group", "pipeline_group")
_LONGEST = 400  # mlx-lm names every weight that is missing


@told_in_words
def load_mlx(
    path: str | os.PathLike[str], *, precision: Any = "exact", policy: Any = "row", switch: Any = "auto",
    tensor_group: Any = None, pipeline_group: Any = None, **load: Any,
) -> tuple[Any, Any]:  # fmt: skip
    """Return (model, tokenizer) as `mlx_lm.load` does, with the rotation that config.json declares.

    The configuration is read in any spelling and given to mlx-lm in the one that it knows, so that models which it
    refuses, or builds with another base, load right; then every rope is Tightrope's (`tightrope.patch`). A family that
    rotates nothing is loaded as it is.

    Args:
        path: A folder with config.json and safetensors, or the name of a repository of the Hugging Face hub. No GGUF
            file: mlx-lm writes those alone.
        precision: See `RotaryEmbedding`.
        policy: See `RotaryEmbedding`.
        switch: See `RotaryEmbedding`.
        tensor_group: A group of mx.distributed among whose processes every weight is split, as by
            `mlx_lm.utils.sharded_load`; all call this.
        pipeline_group: A group among whose processes the layers are split.
        load: Further arguments of `mlx_lm.load`.

    Raises:
        BackendUnavailable: mlx-lm is not installed.
        RopeConfigError: There is no such model, here or on the hub; its configuration cannot be right; or it cannot be
            patched.
    """
    try:
        import mlx_lm
    except ImportError as error:
        raise BackendUnavailable(f"load_mlx needs mlx-lm; {install_command('mlx-lm')} ({error})") from error
    folder = _folder(path)
    rope = read(folder)
    _check_arguments(mlx_lm.load, load)
    lazy = bool(load.get("lazy", False))
    split = tensor_group is not None or pipeline_group is not None
    model, tokenizer = _load(mlx_lm.load, folder, rope, {**load, "lazy": lazy or split})
    if rope.ropes:
        patch(model, rope, precision=precision, policy=policy, switch=switch)
    if split:
        import_module("tightrope.backends.mlx.mlx_lm.parts").split(model, tensor_group, pipeline_group, lazy=lazy)
    return model, tokenizer


def _check_arguments(load: Callable[..., Any], given: Mapping[str, Any]) -> None:
    """Raise where mlx-lm's load has no such argument."""
    known = list(inspect.signature(load).parameters)[1:]
    require_known("load_mlx", given, (*known, *_OWN))


def _folder(path: str | os.PathLike[str]) -> Path:
    """Return the folder of a model: a path on this machine, or what the hub's client fetches or kept of that name."""
    if not isinstance(path, str | os.PathLike):
        raise RopeConfigError(f"path must be a folder or the name of a repository, got {shortened(path)}")
    try:
        gguf = _is_gguf(Path(path))
        if Path(path).is_dir() and not gguf:
            return Path(path)
        file = Path(path).is_file()
    except (OSError, ValueError) as error:  # a name too long, a NUL character
        raise RopeConfigError(why(error), source=str(path)) from error
    if gguf:
        raise RopeConfigError(
            "mlx-lm loads no GGUF files, it only writes them; give the folder with config.json and safetensors that "
            "this was converted from (tightrope.read reads a GGUF file's rope)",
            source=str(path),
        )
    if file:
        raise RopeConfigError("is a file; give the folder of the model", source=str(path))
    if not (isinstance(path, str) and is_hub_id(path)):
        raise RopeConfigError("no such folder", source=str(path))
    from huggingface_hub import snapshot_download  # comes with mlx-lm

    try:
        return Path(snapshot_download(path, allow_patterns=_FILES))
    # As with a configuration alone: whatever the network, the hub or its client raise.
    except Exception as error:
        here, files = "no such folder here, and it", "a folder with config.json and safetensors"
        raise not_fetched(path, error, here=here, path=files) from error


def _is_gguf(path: Path) -> bool:
    """Return whether a GGUF file, or a folder of nothing else, stands for a model."""
    alone = path.is_dir() and not (path / "config.json").exists() and any(path.glob("*.[gG][gG][uU][fF]"))
    return alone or path.suffix.lower() == ".gguf"


def _load(load: Any, folder: Path, rope: ModelRope, arguments: dict[str, Any]) -> tuple[Any, Any]:
    """Return what mlx-lm loads from the first spelling that it takes.

    Its own ropes are replaced in any case, so a spelling that it builds anything from will do.
    """
    given = arguments.pop("model_config", None) or {}
    refusals: list[Exception] = []
    for keys in spellings(rope):
        overlay = {**within_text_part(json.loads((folder / "config.json").read_text("utf-8")), keys), **given}
        try:
            model, tokenizer, *_ = load(str(folder), model_config=overlay, **arguments)
        # Whatever mlx-lm, its tokenizers or the reader of weights raise.
        except Exception as error:
            refusals.append(error)
            if not _by_the_model(error):
                break
        else:
            return model, tokenizer
    first, *others = refusals
    tried = " in any spelling of its rope; the first one gave" if any(str(e) != str(first) for e in others) else ":"
    raise RopeConfigError(f"mlx-lm cannot load {folder}{tried} {_in_a_line(first)}") from first


def _by_the_model(error: Exception) -> bool:
    """Return whether the code of a model raised, so that another spelling may help: not for a missing tokenizer."""
    modules = (frame.f_globals.get("__name__", "") for frame, _ in walk_tb(error.__traceback__))
    return any(module.startswith("mlx_lm.models.") for module in modules)


def _in_a_line(error: Exception) -> str:
    words = " ".join(f"{type(error).__name__}: {error}".split())
    return words if len(words) <= _LONGEST else f"{words[:_LONGEST]}…"


def spellings(rope: ModelRope) -> Iterator[dict[str, object]]:
    """Yield the keys of a configuration that say how a model rotates, in the ways that mlx-lm may take."""
    if not rope.ropes:
        yield {}
        return
    family = find_family(rope.model_type) or UNKNOWN_FAMILY
    newer = rope_keys(rope, family, "v5")
    try:
        older = rope_keys(rope, family, "v4")
    except RopeConfigError:  # several ropes that the older spelling has no words for
        older = {}
    yield {**newer, **older}
    base = {key: value for key, value in older.items() if key != "rope_scaling"}
    yield {**newer, **base, "rope_scaling": None}
    # deepseek_v2 and minicpm3 cannot be built without one; a factor of 1 scales nothing.
    length = next(iter(rope.ropes.values())).max_position_embeddings or 4096
    yield {**newer, **base, "rope_scaling": {"type": "yarn", "factor": 1.0, "original_max_position_embeddings": length}}


def within_text_part(config: Mapping[str, Any], keys: Mapping[str, object]) -> dict[str, object]:
    """Return the keys where mlx-lm looks for them: in the text part of a model that has several."""
    part = text_key(config)
    return dict(keys) if part is None else {part: {**config[part], **keys}}
