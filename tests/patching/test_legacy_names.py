"""`legacy_names`: modeling code of transformers 4 loads under transformers 5, and nothing is left behind."""

import threading

import pytest

import ported

utils = pytest.importorskip("transformers.modeling_rope_utils")
pytestmark = pytest.mark.backend("torch")

FUNCTION = "_compute_default_rope_parameters"


@pytest.fixture
def legacy_names():
    from tightrope.backends.torch.transformers import legacy_names

    if "default" in utils.ROPE_INIT_FUNCTIONS:
        pytest.skip("this version of transformers has the names itself")
    return legacy_names


@pytest.fixture
def llama():
    from transformers import LlamaConfig

    return LlamaConfig(hidden_size=ported.HIDDEN, num_attention_heads=ported.HEADS, max_position_embeddings=32)


def test_code_that_looks_up_default_loads_inside_and_not_outside(legacy_names, llama):
    module = ported.load("llama")
    with pytest.raises(KeyError, match="default"):
        module.RotaryEmbedding(llama)
    with legacy_names():
        assert module.RotaryEmbedding(llama).inv_freq.shape == (8,)


def test_nothing_is_left_behind_when_loading_fails(legacy_names):
    before, seen = dict(utils.ROPE_INIT_FUNCTIONS), []

    def load():
        with legacy_names():
            seen.append(hasattr(utils, FUNCTION))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        load()
    assert seen == [True]
    assert before == utils.ROPE_INIT_FUNCTIONS
    assert not hasattr(utils, FUNCTION)


def test_what_transformers_has_itself_stays(legacy_names, monkeypatch):
    monkeypatch.setitem(utils.ROPE_INIT_FUNCTIONS, "default", "its own")
    with legacy_names():
        assert utils.ROPE_INIT_FUNCTIONS["default"] == "its own"
    assert utils.ROPE_INIT_FUNCTIONS["default"] == "its own"


def test_the_last_of_several_threads_takes_the_names_away(legacy_names):
    inside, leave, seen = threading.Event(), threading.Event(), []

    def load():
        with legacy_names():
            inside.set()
            leave.wait(10)

    other = threading.Thread(target=load)
    other.start()
    inside.wait(10)
    with legacy_names():
        seen.append("default" in utils.ROPE_INIT_FUNCTIONS)
    seen.append("default" in utils.ROPE_INIT_FUNCTIONS)
    leave.set()
    other.join(10)
    seen.append("default" in utils.ROPE_INIT_FUNCTIONS)
    assert seen == [True, True, False]
