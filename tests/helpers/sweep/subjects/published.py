"""Keys that published files hold and their class reads another way than their authors: {class: {label: keys}}.

The other values are those of the class. Each label stands in the ledger of known differences.
"""

import copy

PUBLISHED = {
    "DbrxConfig": {"attn_config": {"attn_config": {"rope_theta": 5e5}}},
    "MiMoV2FlashConfig": {
        "legacy keys": {"rope_theta": 1e6, "swa_rope_theta": 2e4, "partial_rotary_factor": 0.5},
    },
    "MiniMaxConfig": {"rotary_dim": {"head_dim": 128, "rotary_dim": 64}},
    "Olmo3Config": {"rope_theta": {"rope_theta": 1e6}},
}


def file_of(cls: type, keys: dict) -> dict:
    """Return the config.json of a class's default model in which these keys stand."""
    plain = {key: value for key, value in cls().to_dict().items() if key != "rope_parameters"}
    return {**plain, **copy.deepcopy(keys)}


def as_read(cls: type, file: dict) -> object:
    """Return the configuration that the class makes of a file."""
    return cls.from_dict(copy.deepcopy(file))
