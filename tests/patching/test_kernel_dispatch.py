"""Apply functions that are modules, as transformers' kernel dispatch makes them, and Tightrope offered there."""

# ruff: noqa: E402  # imports follow the check that there is something to import

import inspect
import subprocess
import sys

import pytest

pytest.importorskip("transformers")
torch = pytest.importorskip("torch")

from transformers.models.llama import modeling_llama

import tightrope
from models import hf_models, tiny_models
from tightrope.backends.torch.transformers import register_kernels
from tightrope.backends.torch.transformers.kernels import _rotation_of
from tightrope.verify import audit

pytestmark = pytest.mark.backend("torch")

own_function = modeling_llama.apply_rotary_pos_emb
own_function = getattr(own_function, "forward", own_function)


class AsModule(torch.nn.Module):
    """What `kernels` makes of the function."""

    def forward(self, q, k, cos, sin, unsqueeze_dim=1):
        return own_function(q, k, cos, sin, unsqueeze_dim)


class WithRotaryDim(torch.nn.Module):
    """As Liger writes it: an argument that by default says nothing."""

    def forward(self, q, k, cos, sin, unsqueeze_dim=1, rotary_dim=None):
        if rotary_dim is not None:
            cos, sin = cos * 2, sin * 2
        return own_function(q, k, cos, sin, unsqueeze_dim)


class Required(torch.nn.Module):
    """An argument that nobody here could fill."""

    def forward(self, q, k, cos, sin, theta):
        return own_function(q, k, cos * theta, sin * theta)


def angles(dtype=torch.float32):
    phases = torch.linspace(-3, 3, 40).reshape(1, 5, 8).repeat(1, 1, 2)
    return phases.cos().to(dtype), phases.sin().to(dtype)


@pytest.mark.parametrize("module", [AsModule, WithRotaryDim])
def test_a_model_whose_apply_function_is_a_module_is_patched_whole(llama, monkeypatch, module):
    own = hf_models.logits(llama)
    monkeypatch.setattr(modeling_llama, "apply_rotary_pos_emb", module())
    with tightrope.patched(llama, **hf_models.FAITHFUL) as report:
        assert {part.action for part in report.layers} == {"angles and rotation"}
        torch.testing.assert_close(hf_models.logits(llama), own)


@pytest.mark.parametrize("module", [AsModule, WithRotaryDim])
def test_a_family_whose_apply_function_is_a_module_is_audited(monkeypatch, module):
    monkeypatch.setattr(modeling_llama, "apply_rotary_pos_emb", module())
    (found,) = audit.audit(tiny_models.fields("llama3.1"), ["transformers"]).peers
    assert found.status in ("agrees", "rounding"), found.verdict


def test_an_argument_that_differs_from_its_default_goes_to_the_function_itself(llama, monkeypatch):
    monkeypatch.setattr(modeling_llama, "apply_rotary_pos_emb", WithRotaryDim())
    tightrope.patch(llama)
    forward = inspect.unwrap(llama.model.layers[0].self_attn.forward)  # transformers 5.24 decorates it
    apply = forward.__globals__["apply_rotary_pos_emb"]
    x, (cos, sin) = torch.randn(1, 2, 5, 16), angles()
    doubled, _ = apply(x, x, cos, sin, rotary_dim=8)
    torch.testing.assert_close(doubled, own_function(x, x, cos * 2, sin * 2)[0])


def test_an_argument_without_default_leaves_the_function_to_itself(llama, monkeypatch):
    monkeypatch.setattr(modeling_llama, "apply_rotary_pos_emb", Required())
    assert {part.why for part in tightrope.patch(llama).layers} == {"apply_rotary_pos_emb is no rotation known here"}


def test_the_kernel_rotates_bfloat16_with_one_rounding_and_has_a_gradient():
    x = torch.randn(2, 3, 5, 16, generator=torch.Generator().manual_seed(0)).to(torch.bfloat16).requires_grad_()
    cos, sin = angles(torch.bfloat16)
    q, _ = _rotation_of(AsModule)(x, x, cos.float(), sin.float(), unsqueeze_dim=1)
    exact = own_function(x.double(), x.double(), cos.double(), sin.double())[0]
    assert torch.equal(q, exact.to(torch.bfloat16))
    (gradient,) = torch.autograd.grad(q.float().sum(), x)
    back = own_function(torch.ones_like(x).double(), x.double(), cos.double(), -sin.double())[0]
    assert torch.equal(gradient, back.to(torch.bfloat16))


def test_without_kernels_the_package_is_named(monkeypatch):
    from transformers.utils import import_utils

    monkeypatch.setattr(import_utils, "is_kernels_available", lambda: False)
    with pytest.raises(tightrope.BackendUnavailable, match=r'python -m pip install "kernels>=\d'):
        register_kernels()


# In a process of its own: the modules of the library are decorated when they are imported.
WITH_KERNELS = """
import sys
import torch
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.utils.import_utils import is_kernels_available
if not is_kernels_available():
    sys.exit("no kernels")
from transformers.models.llama import modeling_llama
import tightrope
from tightrope.backends.torch.transformers import register_kernels
from tightrope.backends.torch.transformers.kernels import FusedRotary
from tightrope.verify.audit import audit

torch.manual_seed(0)
tokens = torch.arange(2, 20)[None]
def used():
    return getattr(modeling_llama.apply_rotary_pos_emb.forward, "__func__", None) is FusedRotary.forward
for train in (False, True):
    model = LlamaForCausalLM(LlamaConfig(
        vocab_size=64, hidden_size=64, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4
    )).train(train)
    own = model(tokens).logits
    assert not used()
    with register_kernels():
        model.set_use_kernels(True)
        assert used(), "in the statement"
        logits = model(tokens).logits
        torch.testing.assert_close(logits, own)
        if train:
            logits.sum().backward()
            assert model.model.layers[0].self_attn.q_proj.weight.grad.abs().max() > 0
        (found,) = audit(model.config, ["transformers"]).peers
        assert found.status in ("agrees", "rounding"), found.verdict
        with tightrope.patched(model) as report:
            assert {part.action for part in report.layers} == {"angles and rotation"}
    model.set_use_kernels(True)
    assert not used(), "after it"
    assert torch.equal(model(tokens).logits, own)
"""


def test_models_loaded_with_kernels_rotate_by_tightrope_and_those_after_the_statement_do_not(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", WITH_KERNELS], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    if done.stderr.strip() == "no kernels":
        pytest.skip("the package kernels, of a version that this transformers takes, is not installed")
    assert done.returncode == 0, done.stderr
