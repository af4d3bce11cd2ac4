"""Functions with other kernels' signatures rotate as those do, at the shapes that those projects test themselves."""

import itertools

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
        batch = self.BATCH if offsets == "tensor" else 2
        x = normal(batch, self.SEQ, self.HEADS, self.DIM)
        cos, sin, table = self.tables(int(fraction * self.DIM))
        starts = {"none": 0, "int": 13, "tensor": torch.arange(batch) % self.SEQ}[offsets]
        found = drop_in.apply_rotary_emb(x, cos, sin, interleaved, seqlen_offsets=starts)
        rows = np.broadcast_to(np.asarray(starts).reshape(-1, 1) + np.arange(self.SEQ), (batch, self.SEQ))
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

    def test_in_place_on_a_leaf_that_requires_a_gradient(self):
        cos, sin, _ = self.tables(self.DIM)
        x = normal(2, 7, self.HEADS, self.DIM).half().requires_grad_()
        apart = x.detach().clone().requires_grad_()
        found = drop_in.apply_rotary_emb(x, cos.half(), sin.half(), inplace=True)
        wanted = drop_in.apply_rotary_emb(apart, cos.half(), sin.half())
        assert torch.equal(found, wanted)
        assert found.data_ptr() == x.data_ptr()
        for one in (found, wanted):
            one.backward(normal(*one.shape).half())
        assert torch.equal(x.grad, apart.grad)

    @pytest.mark.parametrize("packed", [False, True])
    def test_the_gradient_is_the_rotation_back(self, packed):
        cos, sin, table = self.tables(self.DIM)
        x = normal(*((7,) if packed else (1, 7)), self.HEADS, self.DIM).requires_grad_()
        how = {"cu_seqlens": torch.tensor([0, 3, 7]), "max_seqlen": 4} if packed else {}
        gradient = normal(*x.shape)
        drop_in.apply_rotary_emb(x, cos, sin, True, **how).backward(gradient)
        rows = np.r_[0:3, 0:4] if packed else np.arange(7)
        close(x.grad, expected(gradient, -table[rows][:, None], True))

    @pytest.mark.parametrize(
        ("how", "message"),
        [
            ({"seqlen_offsets": torch.tensor([1.0, 2.0])}, "seqlen_offsets"),
            ({"seqlen_offsets": torch.tensor([1, 2, 3])}, "the positions or angles have"),
            ({"seqlen_offsets": -1}, "must hold positions -1 to 5"),
            ({"cu_seqlens": torch.tensor([0, 2])}, "x must be a float tensor of 3 axes"),
            ({"max_seqlen": 3}, "max_seqlen must be at least 7"),
        ],
    )
    def test_arguments_that_do_not_fit_are_refused(self, how, message):
        cos, sin, _ = self.tables(self.DIM)
        with pytest.raises(RopeConfigError, match=message):
            drop_in.apply_rotary_emb(normal(2, 7, 4, self.DIM), cos, sin, **how)

    @pytest.mark.parametrize("bounds", [[0, 3, 6], [1, 7], [0, 5, 3, 7]])
    def test_bounds_that_do_not_divide_the_tokens_are_refused(self, bounds):
        cos, sin, _ = self.tables(self.DIM)
        with pytest.raises(RopeConfigError, match="cu_seqlens must rise from 0 to the 7 tokens"):
            drop_in.apply_rotary_emb(normal(7, 4, self.DIM), cos, sin, cu_seqlens=torch.tensor(bounds))

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
    [(1, 128, 32, 32, 64), (2, 128, 32, 8, 64), (1, 2, 1, 2, 8), (3, 423, 7, 21, 92)],
)
@pytest.mark.parametrize("rows", ["one", "each"])
def test_liger(batch, seq, heads, kv_heads, dim, rows):
    table = angles(seq, dim)
    full = torch.from_numpy(np.concatenate((table, table), -1).astype(np.float32))[None]
    exact = full[0, :, : dim // 2].double().numpy()
    full = full.expand(batch, -1, -1) if rows == "each" else full
    # As a projection leaves them: heads and tokens exchanged in memory.
    q, k = normal(batch, seq, heads, dim).transpose(1, 2), normal(batch, seq, kv_heads, dim).transpose(1, 2)
    for found, x in zip(drop_in.liger_rotary_pos_emb(q, k, full.cos(), full.sin()), (q, k), strict=True):
        close(found, expected(x, exact))


class TestTransformerEngineAndApex:
    BATCH, HEADS = 2, 4

    def freqs(self, length, dim, interleaved=False):
        table = angles(length, dim).astype(np.float32)
        twice = np.repeat(table, 2, -1) if interleaved else np.concatenate((table, table), -1)
        return torch.from_numpy(twice)[:, None, None], table.astype(np.float64)

    @pytest.mark.parametrize(
        ("form", "hidden", "share", "margin"),
        [("sbhd", 128, 0.5, 0), ("bshd", 128, 1.0, 10), ("sbhd", 256, 1.0, 10), ("bshd", 256, 0.5, 0)],
    )
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
        t = normal(54, self.BATCH, self.HEADS, 128)  # fewer tokens than angles
        wanted = expected(t, table[:54, None, None])
        found = drop_in.fused_apply_rotary_pos_emb(t, freqs, transposed)
        cached = drop_in.fused_apply_rotary_pos_emb_cached(t, freqs.cos(), freqs.sin(), transposed)
        close(found, wanted)
        close(cached, wanted)
        assert found.transpose(0, 1).is_contiguous() == cached.transpose(0, 1).is_contiguous() == transposed

    def test_interleaved_pairs_have_their_angle_in_both_channels(self):
        freqs, table = self.freqs(8, 64, interleaved=True)
        t = normal(8, self.BATCH, self.HEADS, 128)
        close(drop_in.apply_rotary_pos_emb(t, freqs, interleaved=True), expected(t, table[:, None, None], True))

    @pytest.mark.parametrize("form", ["sbhd", "bshd", "thd"])
    def test_first_positions(self, form):
        freqs, table = self.freqs(20, 128)
        first = torch.tensor([3, 9], dtype=torch.int32)
        bounds = torch.tensor([0, 2, 6], dtype=torch.int32) if form == "thd" else None
        shape = {"sbhd": (6, 2), "bshd": (2, 6), "thd": (6,)}[form]
        batch = np.add.outer(np.arange(6), [3, 9])
        rows = {"sbhd": batch, "bshd": batch.T, "thd": np.r_[3:5, 9:13]}[form]
        t = normal(*shape, self.HEADS, 128)
        found = drop_in.apply_rotary_pos_emb(t, freqs, form, first, fused=True, cu_seqlens=bounds)
        close(found, expected(t, table[rows][..., None, :]))

    @pytest.mark.parametrize("form", ["sbhd", "thd"])
    def test_ranks_of_context_parallelism_hold_two_parts_of_a_sequence(self, form):
        freqs, table = self.freqs(24, 128)
        whole = normal(24, *(() if form == "thd" else (1,)), self.HEADS, 128)
        bounds = [0, 8, 24] if form == "thd" else [0, 24]
        # Each sequence in four parts: rank 0 has the first and the last, rank 1 those between.
        parts = [np.array_split(np.arange(first, last), 4) for first, last in itertools.pairwise(bounds)]
        for rank in (0, 1):
            held = np.concatenate([np.concatenate((four[rank], four[3 - rank])) for four in parts])
            within = np.concatenate([np.concatenate((four[rank], four[3 - rank])) - four[0][0] for four in parts])
            packed = {"cu_seqlens": torch.tensor(bounds, dtype=torch.int32)} if form == "thd" else {}
            found = drop_in.apply_rotary_pos_emb(whole[held], freqs, form, **packed, cp_size=2, cp_rank=rank)
            close(found, expected(whole[held], table[within][(..., *[None] * (whole.ndim - 2), slice(None))]))

    @pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
    @pytest.mark.parametrize("exchanged", [(0, 1), (2, 3)])
    def test_any_memory_layout_and_dtype_is_rounded_once_and_has_a_gradient(self, dtype, exchanged):
        freqs, table = self.freqs(9, 128)
        t = normal(7, self.BATCH, self.HEADS, 128).to(getattr(torch, dtype))
        t = t.transpose(*exchanged).contiguous().transpose(*exchanged).requires_grad_()
        found = drop_in.apply_rotary_pos_emb(t, freqs)
        along = table[:7, None, None]
        found.sum().backward()
        half_an_ulp = torch.finfo(found.dtype).eps / 2
        for rounded, exact in (
            (found.detach(), expected(t.detach().float(), along)), (t.grad, expected(torch.ones(t.shape), -along))
        ):  # fmt: skip
            np.testing.assert_allclose(rounded.double().numpy(), exact, rtol=half_an_ulp, atol=ROUNDING * 2)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"tensor_format": "shbd"}, "tensor_format must be one of 'sbhd', 'bshd', 'thd'"),
            ({"tensor_format": "thd"}, "cu_seqlens belongs to tensor_format 'thd'"),
            ({"cu_seqlens": torch.tensor([0, 8])}, "cu_seqlens belongs to tensor_format 'thd'"),
            ({"start_positions": torch.tensor([0, 1])}, "freqs must hold positions 0 to 8, got 8 rows"),
            ({"start_positions": torch.tensor([0, 1]), "cp_size": 2}, "start_positions needs cp_size 1"),
            ({"cp_size": 2, "cp_rank": 2}, "cp_rank must be from 0 to cp_size - 1"),
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
