"""Generation on two stacks: the same tokens, in batches, with caches that rotate, rewind and are reused."""

# ruff: noqa: E402  # imports follow the check that there is something to import

import numpy as np
import pytest

pytest.importorskip("transformers")
pytest.importorskip("mlx_lm", exc_type=ImportError)
torch = pytest.importorskip("torch")

import mlx.core as mx
from mlx_lm.generate import BatchGenerator, generate_step, speculative_generate_step
from mlx_lm.models.cache import (
    KVCache,
    RotatingKVCache,
    can_trim_prompt_cache,
    load_prompt_cache,
    make_prompt_cache,
    save_prompt_cache,
    trim_prompt_cache,
)

import tightrope
from models import pairs
from models.tiny_models import ARCHITECTURES

pytestmark = pytest.mark.backend("torch", "mlx")

TOKENS = 64
# Random models of these repeat one token for ever, whatever their attention does.
SILENT = {"gemma2", "olmo2", "stablelm"}
TALKATIVE = [name for name in ARCHITECTURES if name not in SILENT]
# Left to right, as long as this; the shorter ones of a batch are padded.
LENGTHS = (9, 14, 5, 11)


@pytest.fixture(scope="module", autouse=True)
def patched_torch_models():
    """Patch each torch model that these tests use, and leave it as it was."""
    for name in TALKATIVE:
        tightrope.patch(pairs.pair(name).torch)
    yield
    for name in TALKATIVE:
        tightrope.unpatch(pairs.pair(name).torch)


def torch_tokens(name, rows, **options):
    """Greedy tokens of transformers for left-padded rows."""
    width = max(map(len, rows))
    ids = torch.tensor([[0] * (width - len(row)) + row for row in rows])
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])
    model = pairs.pair(name).torch
    out = model.generate(
        ids,
        attention_mask=mask,
        max_new_tokens=TOKENS,
        min_new_tokens=TOKENS,
        do_sample=False,
        pad_token_id=0,
        **options,
    )
    return out[:, width:].tolist()


def mlx_tokens(name, row, count=TOKENS, **options):
    steps = generate_step(mx.array(row), pairs.pair(name).mlx, max_tokens=count, **options)
    return [int(token) for token, _ in steps]


def prompt(length=24):
    return pairs.prompt(1, length)[0].tolist()


def batch():
    return [
        row[:length].tolist() for row, length in zip(pairs.prompt(len(LENGTHS), max(LENGTHS)), LENGTHS, strict=True)
    ]


@pytest.mark.parametrize("name", TALKATIVE)
def test_the_models_say_enough_for_their_tokens_to_prove_something(name):
    """A random model may repeat one token for ever, whatever its attention does."""
    assert len(set(torch_tokens(name, [prompt()])[0])) > TOKENS // 4


@pytest.mark.parametrize("name", TALKATIVE)
def test_greedy_tokens_are_the_same_in_both_frameworks(name):
    assert mlx_tokens(name, prompt()) == torch_tokens(name, [prompt()])[0]


@pytest.mark.parametrize("name", TALKATIVE)
def test_a_left_padded_row_gets_the_tokens_that_it_gets_alone_in_transformers(name):
    assert torch_tokens(name, batch()) == [torch_tokens(name, [row])[0] for row in batch()]


@pytest.mark.parametrize("name", TALKATIVE)
def test_a_row_of_a_batch_gets_the_tokens_that_it_gets_alone_in_mlx_lm(name):
    generator = BatchGenerator(pairs.pair(name).mlx, stop_tokens=[])
    order = generator.insert(batch(), max_tokens=[TOKENS] * len(LENGTHS))
    tokens = {uid: [] for uid in order}
    while responses := generator.next_generated():
        for response in responses:
            tokens[response.uid].append(response.token)
    assert [tokens[uid] for uid in order] == [mlx_tokens(name, row) for row in batch()]


def test_a_reused_prompt_cache_goes_on_where_it_was(tmp_path):
    model, row = pairs.pair("llama3.1").mlx, prompt()
    cache = make_prompt_cache(model)
    list(generate_step(mx.array(row[:16]), model, max_tokens=0, prompt_cache=cache))
    save_prompt_cache(str(tmp_path / "cache.safetensors"), cache)
    again = load_prompt_cache(str(tmp_path / "cache.safetensors"))
    rest = row[again[0].offset :]
    assert mlx_tokens("llama3.1", rest, prompt_cache=again) == mlx_tokens("llama3.1", row)


def test_a_rewound_cache_gives_the_tokens_of_the_shorter_prompt():
    model, row = pairs.pair("llama3.1").mlx, prompt()
    cache = make_prompt_cache(model)
    model(mx.array([[*row, 5, 6, 7]]), cache=cache)
    assert can_trim_prompt_cache(cache)
    trim_prompt_cache(cache, 4)
    assert mlx_tokens("llama3.1", row[-1:], prompt_cache=cache) == mlx_tokens("llama3.1", row)


def test_a_rotating_cache_that_has_not_turned_over_gives_the_tokens_of_a_whole_one():
    cache = [RotatingKVCache(max_size=256) for _ in pairs.pair("llama3.1").mlx.layers]
    assert mlx_tokens("llama3.1", prompt(), prompt_cache=cache) == mlx_tokens("llama3.1", prompt())


def test_a_rotating_cache_that_turned_over_keeps_counting_positions():
    """One layer that sees a window: what fell out of it cannot matter, so a cache of the window's size is enough."""
    pair = pairs.pair("gemma3_text")
    window = pair.torch.config.sliding_window
    cache = make_prompt_cache(pair.mlx)
    tokens = mlx_tokens("gemma3_text", prompt(), prompt_cache=cache)
    rotating = next(part for part in cache if isinstance(part, RotatingKVCache))
    assert rotating.offset > window
    assert tokens == torch_tokens("gemma3_text", [prompt()], use_cache=False)[0]


@pytest.mark.parametrize("draft", ["itself", "a stranger"])
def test_speculative_decoding_gives_the_tokens_of_plain_decoding(draft):
    model = pairs.pair("llama3.1").mlx
    helper = tightrope.load_mlx(pairs.pair("llama3.1" if draft == "itself" else "llama").folder)[0]
    steps = speculative_generate_step(mx.array(prompt()), model, helper, num_draft_tokens=3, max_tokens=TOKENS)
    assert [int(token) for token, _, _ in steps] == mlx_tokens("llama3.1", prompt())


def test_every_cache_of_a_patched_model_is_mlx_lm_s_own():
    assert all(isinstance(cache, KVCache) for cache in make_prompt_cache(pairs.pair("llama3.1").mlx))


def test_prefill_in_one_step_and_in_chunks_give_the_same_tokens():
    assert mlx_tokens("llama3.1", prompt(), prefill_step_size=5) == mlx_tokens("llama3.1", prompt())


def test_offsets_of_every_kind_turn_alike():
    rope = pairs.pair("llama3.1").mlx.layers[0].self_attn.rope
    x = mx.array(np.random.default_rng(0).standard_normal((3, 2, 4, 16)).astype(np.float32))
    expected = np.array(rope(x, offset=7))
    for offset in (mx.array(7), mx.array([7]), mx.array([7, 7, 7]), mx.array([7, 7, 7], dtype=mx.int64)):
        np.testing.assert_array_equal(np.array(rope(x, offset=offset)), expected)


def test_a_negative_offset_of_a_padded_row_counts_back_from_zero():
    rope = pairs.pair("llama3.1").mlx.layers[0].self_attn.rope
    x = mx.array(np.random.default_rng(0).standard_normal((1, 2, 8, 16)).astype(np.float32))
    padded = rope(x, offset=mx.array([-3]))
    np.testing.assert_array_equal(np.array(padded[:, :, 3:]), np.array(rope(x[:, :, 3:], offset=0)))
