"""Some models ask their rotary module for more than angles: a patched one still answers."""

# ruff: noqa: E402  # imports follow the check that there is something to import

import copy
from importlib import import_module

import pytest

pytest.importorskip("transformers")
torch = pytest.importorskip("torch")

import tightrope
from models.tiny_models import SIZES

pytestmark = [
    pytest.mark.backend("torch"),
    pytest.mark.filterwarnings("ignore"),  # transformers warns about its own defaults
]

# family → (configuration, model, what the configuration has beside SIZES). What they ask for: `config`, `layer_types`
# and `mrope_section`.
ASKING = {
    "granite_swa": ("GraniteSWAConfig", "GraniteSWAModel", {}),
    "lfm3": ("Lfm3Config", "Lfm3Model", {"num_hidden_layers": 4, "eos_token_id": 2}),
    "hunyuan_vl": (
        "HunYuanVLTextConfig",
        "HunYuanVLTextModel",
        {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 2, 2, 2]}},
    ),
}


def build(family):
    config, model, own = ASKING[family]
    folder = f"transformers.models.{family}"
    pytest.importorskip(folder)  # a younger family than the oldest transformers
    made = getattr(import_module(f"{folder}.configuration_{family}"), config)(**{**SIZES, **own})
    torch.manual_seed(0)
    return getattr(import_module(f"{folder}.modeling_{family}"), model)(made).eval()


@torch.no_grad()
def hidden(model):
    return model(torch.arange(12)[None]).last_hidden_state


@pytest.mark.parametrize("copied", [False, True])
@pytest.mark.parametrize("family", ASKING)
def test_a_model_that_asks_its_rotary_module_runs_when_patched(family, copied):
    model = build(family)
    expected = hidden(model)
    tightrope.patch(model, precision="float32", policy="transformers")
    model = copy.deepcopy(model) if copied else model
    torch.testing.assert_close(hidden(model), expected)
