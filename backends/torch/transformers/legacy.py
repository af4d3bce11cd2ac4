"""The names that transformers 5 dropped from its `modeling_rope_utils`, put back while code of transformers 4 loads."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from tightrope.rope.support.extras import import_extra

_UTILS: Final = "transformers.modeling_rope_utils"
_FUNCTION: Final = "_compute_default_rope_parameters"

# Several threads may load at once: the first one in puts the names there, the last one out takes them away.
_lock = threading.Lock()
_users = 0


@contextmanager
def legacy_names() -> Iterator[None]:
    """Let modeling code of transformers 4 look up `ROPE_INIT_FUNCTIONS["default"]` under transformers 5.

        with legacy_names():
            model = AutoModelForCausalLM.from_pretrained(path, trust_remote_code=True)

    The entry, and the function `_compute_default_rope_parameters`, are Tightrope's own. What transformers has itself is
    left as it is. On leaving, whatever happened, everything is as before.

    Raises:
        ExtraMissing: transformers is not installed.
    """
    utils: Any = import_extra(_UTILS, purpose="code written for transformers")
    _enter(utils)
    try:
        yield
    finally:
        _leave(utils)


def _enter(utils: Any) -> None:
    from tightrope.backends.torch.transformers.names import INIT_FUNCTIONS

    global _users
    with _lock:
        _users += 1
        default = INIT_FUNCTIONS["default"]
        if _users == 1 and "default" not in utils.ROPE_INIT_FUNCTIONS:
            utils.ROPE_INIT_FUNCTIONS["default"] = _ours["default"] = default
        if _users == 1 and not hasattr(utils, _FUNCTION):
            setattr(utils, _FUNCTION, default)
            _ours[_FUNCTION] = default


def _leave(utils: Any) -> None:
    global _users
    with _lock:
        _users -= 1
        if _users:
            return
        if utils.ROPE_INIT_FUNCTIONS.get("default") is _ours.pop("default", ...):
            del utils.ROPE_INIT_FUNCTIONS["default"]
        if getattr(utils, _FUNCTION, None) is _ours.pop(_FUNCTION, ...):
            delattr(utils, _FUNCTION)


# What was put there, to take away that and nothing else.
_ours: Final[dict[str, Any]] = {}
