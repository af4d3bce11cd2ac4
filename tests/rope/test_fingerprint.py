"""A fingerprint is equal where the rotation is, whatever the spelling, and changes with all that rotates a key."""

import json

import numpy as np
import pytest

import tightrope
from tightrope import MRope, RopeConfigError
from tightrope.rope.identity.compare import differences
from tightrope.rope.identity.fingerprints import layer_fingerprints

LLAMA = {"model_type": "llama", "head_dim": 64, "num_hidden_layers": 2, "rope_theta": 5e5}
LLAMA3 = {
    "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}  # fmt: skip
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 4096}
LONGROPE = {
    "rope_type": "longrope", "short_factor": [1.0] * 32, "long_factor": [2.0] * 32, "factor": 4.0,
    "original_max_position_embeddings": 4096,
}  # fmt: skip
DYNAMIC = {"rope_type": "dynamic", "factor": 2.0}
ROPE = tightrope.read(LLAMA).rope()


def scaled(block, **more):
    return tightrope.read({**LLAMA, "max_position_embeddings": 16384, "rope_scaling": block, **more})


SAME = {
    "spelling of version 5": {
        "model_type": "llama", "head_dim": 64, "num_hidden_layers": 2,
        "rope_parameters": {"rope_type": "default", "rope_theta": 5e5},
    },
    "declared context": {**LLAMA, "max_position_embeddings": 99999},
    "factor 1": {**LLAMA, "rope_scaling": {"rope_type": "linear", "factor": 1.0}},
    "another family": {
        "model_type": "qwen2", "hidden_size": 256, "num_attention_heads": 4, "num_hidden_layers": 2, "rope_theta": 5e5
    },
    "params.json of Meta": {"dim": 256, "n_heads": 4, "n_layers": 2, "multiple_of": 32, "rope_theta": 5e5},
    "params.json of Mistral": {"dim": 256, "n_heads": 4, "n_layers": 2, "head_dim": 64, "rope_theta": 5e5},
    "a whole width without a side": tightrope.read(LLAMA).replace(side="tail"),
    "one axis": tightrope.read(LLAMA).replace(mrope=MRope(sections=(32, 0, 0))),
}  # fmt: skip


@pytest.mark.parametrize("source", SAME.values(), ids=SAME)
def test_statements_of_one_rotation_are_equal(source):
    assert tightrope.fingerprint(source) == tightrope.fingerprint(LLAMA)
    assert differences(LLAMA, source) == ()


@pytest.mark.parametrize("block", [LLAMA3, YARN, LONGROPE, DYNAMIC], ids=lambda block: block["rope_type"])
@pytest.mark.parametrize("spelling", ["v4", "v5"])
def test_both_spellings_of_every_scaling_are_equal(block, spelling):
    model = scaled(block)
    assert tightrope.fingerprint(tightrope.read(model.to_hf(spelling))) == tightrope.fingerprint(model)


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "smollm3", "glm4"])
def test_a_gguf_file_is_the_model_of_its_config_json(architecture, tmp_path):
    """llama.cpp's converter permutes q and k of some architectures: still the same rotation."""
    files = pytest.importorskip("samples.gguf_files")
    keys = {**files.SHAPE, "attention.key_length": 64, "rope.freq_base": 5e5}
    path = files.write(tmp_path / "model.gguf", architecture, keys)
    config = {**LLAMA, "model_type": architecture, "num_hidden_layers": 4, "hidden_size": 256, "num_attention_heads": 4}
    config |= {"partial_rotary_factor": 1.0} if architecture == "glm4" else {}
    assert tightrope.fingerprint(path) == tightrope.fingerprint(config)


def test_permuted_architectures_pair_neighbours_and_their_families_halves():
    from tightrope.rope.reading.families.lookup import find_family
    from tightrope.rope.reading.gguf.architectures import ARCHITECTURES

    families = {name: find_family(name) for name, one in ARCHITECTURES.items() if one.layout == "interleaved"}
    permuted = {name for name, one in ARCHITECTURES.items() if one.permuted}
    known = {name: family for name, family in families.items() if family is not None}
    # Of Hy4's published weights llama.cpp pairs neighbours, without permuting them; transformers' class pairs halves.
    del known["hy_v4"]
    assert {name for name, family in known.items() if family.layout == "half"} == permuted & known.keys()
    assert families.keys() >= permuted


OTHER = {
    "base": ({**LLAMA, "rope_theta": 500001.0}, "base 500000 and 500001"),
    "linear": (scaled({"rope_type": "linear", "factor": 2.0}), "rope_type default and linear"),
    "llama3": (scaled(LLAMA3), "rope_type default and llama3"),
    "yarn": (scaled(YARN), "attention_factor"),
    "longrope": (scaled(LONGROPE), "frequencies by length"),
    "dynamic": (scaled(DYNAMIC), "frequencies by length"),
    "layout": (tightrope.read(LLAMA).replace(layout="interleaved"), "layout 'half' and 'interleaved'"),
    "rotary_dim": (tightrope.read(LLAMA).replace(rotary_dim=32), "rotary_dim 64 and 32"),
    "head_dim": (tightrope.read(LLAMA).replace(head_dim=128), "head_dim 64 and 128"),
    "tail": (tightrope.read(LLAMA).replace(rotary_dim=32, side="tail"), "side 'head' and 'tail'"),
    "direction": (tightrope.read(LLAMA).replace(direction=-1), "direction 1 and -1"),
    "frequency_dim": (tightrope.read(LLAMA).replace(frequency_dim=66), "inv_freq of 31 of 32 pairs"),
    "axes": (tightrope.read(LLAMA).replace(mrope=MRope(sections=(8, 12, 12))), "mrope none and [8, 12, 12] chunked"),
    "one layer more": ({**LLAMA, "num_hidden_layers": 3}, "layers: 2 and 3"),
    "layer without position": (
        tightrope.ModelRope(ropes={"default": ROPE}, layers=("default", None)), "layer 1 of 2: rotated in the first",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("source", "words"), OTHER.values(), ids=OTHER)
def test_whatever_turns_a_key_otherwise_has_another_name_and_is_said(source, words):
    assert tightrope.fingerprint(source) != tightrope.fingerprint(LLAMA)
    assert words in "; ".join(differences(LLAMA, source))


def test_all_of_these_have_names_of_their_own():
    assert len({tightrope.fingerprint(source) for source, _ in OTHER.values()}) == len(OTHER)


NEIGHBOURS = {
    "attention factor": (YARN, {**YARN, "attention_factor": 1.0}),
    "truncation": (YARN, {**YARN, "truncate": False}),
    "factor": (DYNAMIC, {**DYNAMIC, "factor": 2.0001}),
    "long factors": (LONGROPE, {**LONGROPE, "long_factor": [2.0] * 31 + [2.0000001]}),
    "the switch": (
        {**LONGROPE, "attention_factor": 1.0},
        {**LONGROPE, "original_max_position_embeddings": 4097, "attention_factor": 1.0},
    ),
}


@pytest.mark.parametrize(("one", "other"), NEIGHBOURS.values(), ids=NEIGHBOURS)
def test_each_parameter_of_a_scaling_counts(one, other):
    assert tightrope.fingerprint(scaled(one)) != tightrope.fingerprint(scaled(other))
    assert differences(scaled(one), scaled(other)) != ()


def test_the_original_length_of_dynamic_ntk_counts():
    assert tightrope.fingerprint(scaled(DYNAMIC)) != tightrope.fingerprint(
        scaled(DYNAMIC, max_position_embeddings=16385)
    )


def test_a_length_names_the_frequencies_in_force():
    """LONGROPE's short factors are 1; its attention factor is sqrt(1 + ln 4 / ln 4096)."""
    long = scaled({**LONGROPE, "attention_factor": 1.0})
    assert tightrope.fingerprint(long, 4096) == tightrope.fingerprint(LLAMA)
    assert tightrope.fingerprint(long, 4097) == tightrope.fingerprint(scaled({"rope_type": "linear", "factor": 2.0}))


def test_layers_have_fingerprints_of_their_own():
    model = tightrope.read({"model_type": "gemma3_text", "num_hidden_layers": 6, "head_dim": 64, "sliding_window": 8})
    names = layer_fingerprints(model)
    assert names[:5] == (names[0],) * 5
    assert names[5] not in (None, names[0])


def test_a_rope_alone_and_an_object_with_a_config_are_taken():
    class Model:
        config = LLAMA

    assert tightrope.fingerprint(Model()) == tightrope.fingerprint(LLAMA)
    assert tightrope.fingerprint(ROPE) == tightrope.fingerprint(ROPE.replace(max_position_embeddings=77))


@pytest.mark.parametrize("source", [None, 3, {"model_type": "llama"}, "no/such/file.json"])
def test_what_cannot_be_read_is_refused(source):
    with pytest.raises(tightrope.RopeError):
        tightrope.fingerprint(source)


@pytest.mark.parametrize("seq_len", [-1, 1.5, "many"])
def test_a_length_that_is_none_is_refused(seq_len):
    with pytest.raises(RopeConfigError, match="seq_len must be"):
        tightrope.fingerprint(scaled(DYNAMIC), seq_len)


class TestCommand:
    """`tightrope fingerprint`."""

    @pytest.fixture
    def run(self, tmp_path):
        from click.testing import CliRunner

        from tightrope.cli import main

        def run(*configs, options=()):
            paths = [tmp_path / f"{index}.json" for index in range(len(configs))]
            for path, config in zip(paths, configs, strict=True):
                path.write_text(json.dumps(config))
            return CliRunner().invoke(main, ["fingerprint", *map(str, paths), *options])

        return run

    def test_one_source_has_its_name(self, run):
        ran = run(LLAMA)
        assert (ran.exit_code, ran.output.split()[0]) == (0, tightrope.fingerprint(LLAMA))

    def test_equal_rotations_end_with_0(self, run):
        assert run(LLAMA, SAME["spelling of version 5"]).exit_code == 0

    def test_another_rotation_is_said_in_words_and_ends_with_1(self, run):
        ran = run(LLAMA, {**LLAMA, "rope_theta": 1e4})
        assert ran.exit_code == 1
        assert "every layer: inv_freq of 31 of 32 pairs" in ran.output
        assert "base 500000 and 10000" in ran.output

    def test_quiet_says_which_one(self, run):
        ran = run(LLAMA, {**LLAMA, "rope_theta": 1e4}, options=["--quiet"])
        assert ran.exit_code == 1
        assert "1.json" in ran.output

    def test_json_has_names_and_differences(self, run, tmp_path):
        run(LLAMA, OTHER["one layer more"][0], options=["--json", str(tmp_path / "out")])
        first, second = json.loads((tmp_path / "out").read_text())["results"]
        assert (first["fingerprint"], first["differences"]) == (tightrope.fingerprint(LLAMA), [])
        assert second["differences"] == ["layers: 2 and 3"]

    def test_a_source_that_cannot_be_read_is_one_line(self, run):
        ran = run({"model_type": "llama"})
        assert ran.exit_code == 1
        assert "Traceback" not in ran.output

    def test_length_chooses_the_frequencies(self, run):
        config = {**LLAMA, "max_position_embeddings": 16384, "rope_scaling": {**LONGROPE, "attention_factor": 1.0}}
        assert run(LLAMA, config).exit_code == 1
        assert run(LLAMA, config, options=["--seq-len", "4096"]).exit_code == 0


def test_the_bits_are_those_of_the_frequencies():
    """One ulp of one frequency is another rotation."""
    from tightrope.rope.scaling.divisors import Divisors

    ones = (1.0,) * 32
    nudged = tightrope.read(LLAMA).replace(scaling=Divisors(divisor=(float(np.nextafter(1.0, 2.0)), *ones[1:])))
    plain = tightrope.read(LLAMA).replace(scaling=Divisors(divisor=ones))
    assert tightrope.fingerprint(plain) == tightrope.fingerprint(LLAMA) != tightrope.fingerprint(nudged)
    assert differences(plain, nudged)[0].startswith("every layer: inv_freq of 1 of 32 pairs, by up to 2.22e-16")
