"""A model's config.json from the Hugging Face hub, by `huggingface_hub` where it is installed."""

import re
from pathlib import Path
from types import ModuleType

from tightrope.rope.errors import ExtraMissing, RopeConfigError, shortened
from tightrope.rope.support.extras import import_extra

# The hub's own rule for "organisation/name"; no file of a checkout ends like that by accident.
_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
_FILE_ENDINGS = (".json", ".gguf")
_FILE_NAME = "config.json"


def is_hub_id(source: str) -> bool:
    """Return whether a string that is not a local path can name a model on the hub."""
    return _ID.fullmatch(source) is not None and not source.endswith(_FILE_ENDINGS)


def fetch_config(name: str) -> Path:
    """Return the path of the model's config.json, from huggingface_hub's cache or fetched: that file alone.

    Raises:
        RopeConfigError: huggingface_hub is not installed, or it has no such file: offline, unknown, not allowed.
    """
    try:
        hub = import_extra("huggingface_hub", purpose="models of the Hugging Face hub")
    except ExtraMissing as error:
        raise RopeConfigError(f"no such file or folder, and {error}", source=name) from error
    try:
        return Path(_fetched(hub, name))
    # Whatever the network, the hub or its client raise: each has its own classes, changing with the version.
    except Exception as error:
        here, path = "no such file or folder here, and its config.json", "a config.json"
        raise not_fetched(name, error, here=here, path=path) from error


def not_fetched(name: str, error: Exception, *, here: str, path: str) -> RopeConfigError:
    """Return the error for a model that the hub does not give.

    Args:
        name: Of the model.
        error: What the hub's client raised; its first line is said.
        here: What is missing on this machine and wanted of the hub, the start of a sentence.
        path: What the path that helps must lead to.
    """
    reason = shortened((str(error).strip().splitlines() or [""])[0], 200, plain=True)
    return RopeConfigError(
        f"{here} cannot be fetched from the Hugging Face hub ({type(error).__name__}: {reason}); go online, or give "
        f"the path of {path}",
        source=name,
    )


def _fetched(hub: ModuleType, name: str) -> str:
    """Return the path of the file as the hub has it; where that cannot be reached, as it was fetched before."""
    try:
        # Asked first: without a network hf_hub_download goes on trying for half a minute.
        hub.get_hf_file_metadata(hub.hf_hub_url(name, _FILE_NAME))
    except Exception as unreachable:
        try:
            cached: str = hub.hf_hub_download(repo_id=name, filename=_FILE_NAME, local_files_only=True)
        except Exception:
            raise unreachable from None
        return cached
    path: str = hub.hf_hub_download(repo_id=name, filename=_FILE_NAME)
    return path
