"""The functions of `rope_utils` that rotate give what transformers' functions of that name give."""

import numpy as np
import pytest

from samples.ported_calls import HEAD_DIM, PAIRS, config, normal
from tightrope import RopeConfigError


class TestApply:
    """Against transformers' own functions, float32: 4 roundings on their side, 2 on ours, of values up to 8."""

    ROUNDING = 6 * 8 * 2.0**-24

    @pytest.fixture
    def tables(self):
        angles = np.random.default_rng(1).uniform(-3, 3, (2, 6, PAIRS)).astype(np.float32)
        full = np.concatenate((angles, angles), -1)
        return np.cos(full), np.sin(full)

    def theirs(self, function, module, q, k, cos, sin, *arguments, **options):
        torch = pytest.importorskip("torch")
        apply = getattr(pytest.importorskip(f"transformers.models.{module}.modeling_{module}"), function)
        tensors = (torch.from_numpy(np.ascontiguousarray(x)) for x in (q, k, cos, sin))
        return [x.numpy() for x in apply(*tensors, *arguments, **options)]

    def close(self, backend, found, expected):
        for here, there in zip(found, expected, strict=True):
            np.testing.assert_allclose(backend.to_numpy(here), there, rtol=0, atol=self.ROUNDING)

    @pytest.mark.parametrize("unsqueeze_dim", [1, 2, -3, -2])
    def test_apply_rotary_pos_emb(self, names, backend, place, tables, unsqueeze_dim):
        heads_first = unsqueeze_dim in (1, -3)
        q, k = normal(2, 4, 6, HEAD_DIM), normal(2, 2, 6, HEAD_DIM)
        q, k = (q, k) if heads_first else (q.swapaxes(1, 2), k.swapaxes(1, 2))
        found = names.apply_rotary_pos_emb(*map(place, (q, k, *tables)), unsqueeze_dim=unsqueeze_dim)
        expected = self.theirs("apply_rotary_pos_emb", "llama", q, k, *tables, unsqueeze_dim=unsqueeze_dim)
        self.close(backend, found, expected)

    def test_apply_rotary_pos_emb_to_a_part_of_the_head(self, names, backend, place, tables):
        q, k = normal(2, 4, 6, 192), normal(2, 2, 6, 192)
        found = names.apply_rotary_pos_emb(*map(place, (q, k, *tables)))
        self.close(backend, found, self.theirs("apply_rotary_pos_emb", "phi3", q, k, *tables))

    def test_apply_rotary_pos_emb_interleave(self, names, backend, place, tables):
        q, k = normal(2, 4, 6, HEAD_DIM), normal(2, 2, 6, HEAD_DIM)
        found = names.apply_rotary_pos_emb_interleave(*map(place, (q, k, *tables)))
        expected = self.theirs("apply_rotary_pos_emb_interleave", "deepseek_v3", q, k, *tables)
        self.close(backend, found, expected)

    def test_apply_multimodal_rotary_pos_emb(self, names, backend, place):
        """Channel by channel: pair i takes the angle of its section's axis, the rotation is x · e^{iφ}."""
        angles = np.random.default_rng(1).uniform(-3, 3, (3, 2, 6, PAIRS)).astype(np.float32)
        full = np.concatenate((angles, angles), -1)
        q, k = normal(2, 4, 6, HEAD_DIM), normal(2, 2, 6, HEAD_DIM)
        found = names.apply_multimodal_rotary_pos_emb(*map(place, (q, k, np.cos(full), np.sin(full))), [16, 24, 24])
        axis = np.repeat([0, 1, 2], [16, 24, 24])
        phase = np.exp(1j * np.stack([angles[axis[i], ..., i] for i in range(PAIRS)], -1).astype(np.float64))[:, None]
        rotated = [(x[..., :PAIRS] + 1j * x[..., PAIRS:]) * phase for x in (q, k)]
        self.close(backend, found, [np.concatenate((z.real, z.imag), -1) for z in rotated])

    def test_sections_must_fill_the_table(self, names, place, tables):
        with pytest.raises(
            RopeConfigError, match=r"mrope_section must be whole .* up to the 64 pairs .* got \[8, 8, 8\]"
        ):
            names.apply_multimodal_rotary_pos_emb(
                *map(place, (normal(2, 4, 6, HEAD_DIM), normal(2, 2, 6, HEAD_DIM), *tables)), [8, 8, 8]
            )

    def test_k_may_be_missing(self, names, backend, place, tables):
        q = place(normal(2, 4, 6, HEAD_DIM))
        alone, nothing = names.apply_rotary_pos_emb(q, None, *map(place, tables))
        both, _ = names.apply_rotary_pos_emb(q, q, *map(place, tables))
        assert nothing is None
        np.testing.assert_array_equal(backend.to_numpy(alone), backend.to_numpy(both))

    def test_position_ids_choose_rows_of_a_table_by_position(self, names, backend, place, tables):
        """The form of transformers 4.35 and before."""
        q = normal(2, 4, 3, HEAD_DIM)
        rows = np.array([[0, 2, 5], [1, 1, 4]])
        table = [part[0] for part in tables]
        found = names.apply_rotary_pos_emb(place(q), None, *map(place, table), position_ids=place(rows))[0]
        chosen = names.apply_rotary_pos_emb(place(q), None, *(place(part[rows]) for part in table))[0]
        np.testing.assert_array_equal(backend.to_numpy(found), backend.to_numpy(chosen))

    def test_position_ids_that_do_not_fit_gathered_tables_are_refused(self, names, place, tables):
        q = place(normal(2, 4, 6, HEAD_DIM))
        with pytest.raises(RopeConfigError, match="position_ids must have the 6 positions of cos and sin, got 5"):
            names.apply_rotary_pos_emb(q, None, *map(place, tables), place(np.zeros((2, 5), np.int64)))

    @pytest.mark.parametrize("function", ["apply_rotary_pos_emb", "apply_rotary_pos_emb_interleave"])
    def test_tables_that_hold_each_angle_once_are_refused(self, names, place, tables, function):
        """Half of their pairs would rotate half of the channels."""
        q = place(normal(2, 4, 6, HEAD_DIM))
        once = [place(np.ascontiguousarray(table[..., :PAIRS])) for table in tables]
        with pytest.raises(RopeConfigError, match=r"must hold each angle twice, .*, got 64 angles; call rotate"):
            getattr(names, function)(q, q, *once)

    def test_an_axis_that_is_none_of_heads_is_refused(self, names, place, tables):
        q = place(normal(2, 4, 6, HEAD_DIM))
        with pytest.raises(RopeConfigError, match=r"unsqueeze_dim must be 1 or -3 .* got 0"):
            names.apply_rotary_pos_emb(q, None, *map(place, tables), unsqueeze_dim=0)

    @pytest.mark.parametrize("layout", ["half", "interleaved"])
    def test_rotate_half_is_a_quarter_turn(self, names, backend, place, layout):
        x = normal(2, 3, HEAD_DIM)
        pairs = (slice(0, PAIRS), slice(PAIRS, None)) if layout == "half" else (slice(0, None, 2), slice(1, None, 2))
        found = backend.to_numpy(names.rotate_half(place(x), layout))
        np.testing.assert_array_equal(found[..., pairs[0]], -x[..., pairs[1]])
        np.testing.assert_array_equal(found[..., pairs[1]], x[..., pairs[0]])

    def test_rotate_half_of_an_odd_width_is_refused(self, names, place):
        with pytest.raises(RopeConfigError, match="x must have an even number of channels, got 3"):
            names.rotate_half(place(normal(2, 3)))

    def test_metas_tables_rotate_interleaved_pairs(self, names, backend, place):
        q, k = normal(2, 6, 4, HEAD_DIM), normal(2, 6, 2, HEAD_DIM)
        table = names.precompute_freqs_cis(HEAD_DIM, 6, theta=500_000.0)
        angles = np.arange(6)[:, None] * 500_000.0 ** (-np.arange(PAIRS) / PAIRS)
        phase = np.exp(1j * angles)[:, None]
        rotated = [(x[..., ::2] + 1j * x[..., 1::2]) * phase for x in (q, k)]
        expected = [np.stack((z.real, z.imag), -1).reshape(x.shape) for z, x in zip(rotated, (q, k), strict=True)]
        self.close(backend, names.apply_rotary_emb(place(q), place(k), table), expected)


WRONG = {
    "words": (lambda names, x: names.ROPE_INIT_FUNCTIONS["dynamic"](config("dynamic"), seq_len="x"), "seq_len"),
    "half a token": (lambda names, x: names.ROPE_INIT_FUNCTIONS["dynamic"](config("dynamic"), seq_len=9.5), "seq_len"),
    "several lengths": (
        lambda names, x: names.ROPE_INIT_FUNCTIONS["dynamic"](config("dynamic"), seq_len=x[0, 0, 0]), "seq_len"),
    "no such device": (lambda names, x: names.ROPE_INIT_FUNCTIONS["default"](config(), "gpu9"), "device"),
    "a list of cos": (lambda names, x: names.apply_rotary_pos_emb(x, x, [1.0], [0.0]), "cos"),
    "no q": (lambda names, x: names.apply_rotary_pos_emb(None, x, x[:, 0] * 0, x[:, 0] * 0), "q"),
    "half a section": (
        lambda names, x: names.apply_multimodal_rotary_pos_emb(x, x, *[x[:, 0] * 0] * 2, [1.5, 2.5]), "mrope_section"),
    "a negative section": (
        lambda names, x: names.apply_multimodal_rotary_pos_emb(x, x, *[x[:, 0] * 0] * 2, [-1, 65]), "mrope_section"),
    "no sections": (
        lambda names, x: names.apply_multimodal_rotary_pos_emb(x, x, *[x[:, 0] * 0] * 2, None), "mrope_section"),
    "an end before the start": (lambda names, x: names.precompute_freqs_cis(8, -4), "end"),
    "an end in words": (lambda names, x: names.precompute_freqs_cis(8, "4"), "end"),
    "an odd width": (lambda names, x: names.precompute_freqs_cis(7, 4), "rotary_dim"),
    "real freqs_cis": (lambda names, x: names.apply_rotary_emb(x, x, x[0, 0]), "freqs_cis"),
    "rotate_half of nothing": (lambda names, x: names.rotate_half(None), "x"),
    "no configuration": (lambda names, x: names.RotaryEmbedding(), "RotaryEmbedding takes a model or a rope"),
    "a width alone": (lambda names, x: names.RotaryEmbedding(dim=64), r"RotaryEmbedding\(tightrope.RopeConfig\("),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_is_refused_by_name(names, place, case):
    call, name = WRONG[case]
    with pytest.raises(RopeConfigError, match=rf"{name}\b"):
        call(names, place(normal(1, 2, 6, HEAD_DIM)))
