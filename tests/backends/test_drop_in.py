"""Functions with other kernels' signatures rotate as those do, at the shapes that those projects test themselves."""

import numpy as np
import pytest

from tightrope import RopeConfigError

torch = pytest.importorskip("torch")
drop_in = pytest.importorskip("tightrope.backends.torch.drop_in")
pytestmark = pytest.mark.backend("torch")

# Two products and a sum of values up to 8, rounded to float32.
ROUNDING = 3 * 8 * 2.0**-24


def normal(*shape):
    return torch.from_numpy(np.random.default_rng(0).standard_normal(shape).astype(np.float32))


def expected(x, angles, interleaved=False):
    """x (…, head_dim) rotated by angles, broadcast against x without its last axis: complex float64 arithmetic."""
    pairs = angles.shape[-1]
    x = np.asarray(x, np.float64)
    part, rest = x[..., : 2 * pairs], x[..., 2 * pairs :]
    first, second = (part[..., ::2], part[..., 1::2]) if interleaved else (part[..., :pairs], part[..., pairs:])
    z = (first + 1j * second) * np.exp(1j * angles)
    rotated = (
        np.stack((z.real, z.imag), -1).reshape(part.shape) if interleaved else np.concatenate((z.real, z.imag), -1)
    )
    return np.concatenate((rotated, rest), -1)


def angles(length, dim, base=10_000.0):
    return np.arange(length)[:, None] * base ** (-np.arange(0, dim, 2) / dim)


def close(found, wanted):
    np.testing.assert_allclose(found.numpy(), wanted, rtol=0, atol=ROUNDING * 2)


class TestFlashAttention:
    BATCH, SEQ, HEADS, DIM = 32, 217, 4, 128

    def tables(self, dim):
        table = torch.from_numpy(angles(2 * self.SEQ, dim).astype(np.float32))
        return table.cos(), table.sin(), table.double().numpy()

    @pytest.mark.parametrize("interleaved", [False, True])
    @pytest.mark.parametrize("fraction", [1.0, 0.5])
    @pytest.mark.parametrize("offsets", ["none", "int", "tensor"])
    def test_padded_batches(self, interleaved, fraction, offsets):
        x = normal(self.BATCH, self.SEQ, self.HEADS, self.DIM)
        cos, sin, table = self.tables(int(fraction * self.DIM))
        starts = {"none": 0, "int": 13, "tensor": torch.arange(self.BATCH) % self.SEQ}[offsets]
        found = drop_in.apply_rotary_emb(x, cos, sin, interleaved, seqlen_offsets=starts)
        rows = np.broadcast_to(np.asarray(starts).reshape(-1, 1) + np.arange(self.SEQ), (self.BATCH, self.SEQ))
        close(found, expected(x, table[rows][:, :, None], interleaved))

    @pytest.mark.parametrize("interleaved", [False, True])
    def test_packed_sequences(self, interleaved):
        starts = torch.tensor([0, 5, 5, 217, 300], dtype=torch.int32)
        x = normal(300, self.HEADS, self.DIM)
        cos, sin, table = self.tables(self.DIM)
        offsets = torch.tensor([3, 0, 1, 2])
        found = drop_in.apply_rotary_emb(
            x, cos, sin, interleaved, seqlen_offsets=offsets, cu_seqlens=starts, max_seqlen=212
        )
        within = np.concatenate([np.arange(n) + o for n, o in zip(np.diff(starts), offsets.tolist(), strict=True)])
        close(found, expected(x, table[within][:, None], interleaved))

    def test_in_place(self):
        x = normal(2, 7, self.HEADS, self.DIM)
        cos, sin, _ = self.tables(self.DIM)
        wanted = drop_in.apply_rotary_emb(x.clone(), cos, sin)
        assert drop_in.apply_rotary_emb(x, cos, sin, inplace=True) is x
        assert torch.equal(x, wanted)

    def test_positions_beyond_the_tables_are_refused(self):
        cos, sin, _ = self.tables(self.DIM)
        with pytest.raises(RopeConfigError, match="cos and sin must hold positions 400 to 406, got 3 rows"):
            drop_in.apply_rotary_emb(normal(1, 7, 4, self.DIM), cos[:3], sin[:3], seqlen_offsets=400)

    def test_a_sequence_longer_than_said_is_refused(self):
        cos, sin, _ = self.tables(self.DIM)
        with pytest.raises(RopeConfigError, match="max_seqlen must be at least 5"):
            drop_in.apply_rotary_emb(
                normal(5, 4, self.DIM), cos, sin, cu_seqlens=torch.tensor([0, 5], dtype=torch.int32), max_seqlen=4
            )


@pytest.mark.parametrize(
    ("batch", "seq", "heads", "kv_heads", "dim"),
    [(1, 128, 32, 32, 64), (2, 128, 32, 8, 64), (3, 423, 73, 213, 92)],
)
def test_liger(batch, seq, heads, kv_heads, dim):
    table = angles(seq, dim)
    full = torch.from_numpy(np.concatenate((table, table), -1).astype(np.float32))[None]
    exact = full[0, :, : dim // 2].double().numpy()
    q, k = normal(batch, heads, seq, dim), normal(batch, kv_heads, seq, dim)
    for found, x in zip(drop_in.liger_rotary_pos_emb(q, k, full.cos(), full.sin()), (q, k), strict=True):
        close(found, expected(x, exact))


class TestTransformerEngineAndApex:
    BATCH, HEADS = 2, 4

    def freqs(self, length, dim):
        table = angles(length, dim).astype(np.float32)
        return torch.from_numpy(np.concatenate((table, table), -1))[:, None, None], table.astype(np.float64)

    @pytest.mark.parametrize("margin", [0, 10])
    @pytest.mark.parametrize("share", [0.5, 1.0])
    @pytest.mark.parametrize("hidden", [128, 256])
    @pytest.mark.parametrize("form", ["sbhd", "bshd"])
    def test_batches(self, form, hidden, share, margin):
        seq = 2048 - margin
        freqs, table = self.freqs(2048, int(hidden * share))
        shape = (seq, self.BATCH) if form == "sbhd" else (self.BATCH, seq)
        t = normal(*shape, self.HEADS, hidden)
        along = table[:seq, None, None] if form == "sbhd" else table[None, :seq, None]
        close(drop_in.apply_rotary_pos_emb(t, freqs, tensor_format=form), expected(t, along))

    def test_packed_sequences(self):
        starts = torch.tensor([0, 400, 542, 711, 727, 752, 1270, 1426, 1450, 1954, 2044, 2048], dtype=torch.int32)
        freqs, table = self.freqs(2048, 128)
        t = normal(2048, self.HEADS, 128)
        within = np.concatenate([np.arange(n) for n in np.diff(starts)])
        wanted = expected(t, table[within][:, None])
        close(drop_in.apply_rotary_pos_emb(t, freqs, "thd", cu_seqlens=starts), wanted)
        close(drop_in.fused_apply_rotary_pos_emb_thd(t, starts, freqs), wanted)

    @pytest.mark.parametrize("transposed", [False, True])
    def test_apex(self, transposed):
        freqs, table = self.freqs(64, 128)
        t = normal(64, self.BATCH, self.HEADS, 128)
        wanted = expected(t, table[:, None, None])
        found = drop_in.fused_apply_rotary_pos_emb(t, freqs, transposed)
        cached = drop_in.fused_apply_rotary_pos_emb_cached(t, freqs.cos(), freqs.sin(), transposed)
        close(found, wanted)
        close(cached, wanted)
        assert found.transpose(0, 1).is_contiguous() == cached.transpose(0, 1).is_contiguous() == transposed

    def test_interleaved_pairs(self):
        freqs, table = self.freqs(8, 128)
        t = normal(8, self.BATCH, self.HEADS, 128)
        close(drop_in.apply_rotary_pos_emb(t, freqs, interleaved=True), expected(t, table[:, None, None], True))

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"tensor_format": "shbd"}, "tensor_format must be one of 'sbhd', 'bshd', 'thd'"),
            ({"tensor_format": "thd"}, "cu_seqlens belongs to tensor_format 'thd'"),
            ({"cu_seqlens": torch.tensor([0, 8])}, "cu_seqlens belongs to tensor_format 'thd'"),
        ],
    )
    def test_what_does_not_fit_is_refused(self, arguments, message):
        freqs, _ = self.freqs(8, 128)
        with pytest.raises(RopeConfigError, match=message):
            drop_in.apply_rotary_pos_emb(normal(8, 2, 4, 128), freqs, **arguments)

    def test_tables_of_another_shape_are_refused(self):
        with pytest.raises(RopeConfigError, match=r"angles must be \(length, 1, 1, rotary_dim\)"):
            drop_in.apply_rotary_pos_emb(normal(8, 2, 4, 128), torch.zeros(8, 128))


ROPE = {"model_type": "llama", "hidden_size": 128, "num_attention_heads": 4, "num_hidden_layers": 1}


class TestSequenceFirst:
    """Order "sbhd": (seq, batch, heads, head_dim), as Megatron holds q and k."""

    @pytest.fixture
    def rotary(self, backend):
        return backend.RotaryEmbedding(ROPE)

    @pytest.mark.parametrize("how", [{"offset": 5}, {"positions": np.arange(12).reshape(2, 6)}, {}])
    def test_it_is_bshd_with_two_axes_exchanged(self, backend, rotary, how):
        q, k = normal(6, 2, 4, 32).numpy(), normal(6, 2, 2, 32).numpy()
        how = {key: backend.asarray(v, "int64", "cpu") if isinstance(v, np.ndarray) else v for key, v in how.items()}
        place = lambda x: backend.asarray(np.ascontiguousarray(x), "float32", "cpu")  # noqa: E731
        found = rotary(place(q), place(k), order="sbhd", **how)
        wanted = rotary(place(q.swapaxes(0, 1)), place(k.swapaxes(0, 1)), order="bshd", **how)
        for here, there in zip(found, wanted, strict=True):
            np.testing.assert_array_equal(backend.to_numpy(here), backend.to_numpy(there).swapaxes(0, 1))

    def test_in_place(self):
        from tightrope.backends.torch import RotaryEmbedding

        rotary, q = RotaryEmbedding(ROPE), normal(6, 2, 4, 32)
        wanted = rotary(q, order="sbhd", offset=3)
        assert rotary.rotate_(q, order="sbhd", offset=3) is q
        assert torch.equal(q, wanted)

    def test_gradients(self):
        from tightrope.backends.torch import RotaryEmbedding

        rotary, q = RotaryEmbedding(ROPE), normal(6, 2, 4, 32).requires_grad_()
        rotary(q, order="sbhd", offset=3).square().sum().backward()
        # A rotation keeps norms: the gradient of |R q|² is 2 q.
        torch.testing.assert_close(q.grad, 2 * q.detach(), rtol=0, atol=8 * ROUNDING)
