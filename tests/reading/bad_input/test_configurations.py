"""What cannot be right is refused: every problem at once, each with file, key path, value and what to do."""

import pytest

import tightrope

NAN, INFINITY = float("nan"), float("inf")
GOOD = {
    "model_type": "llama",
    "hidden_size": 4096,
    "num_attention_heads": 32,
    "num_hidden_layers": 4,
    "max_position_embeddings": 8192,
    "rope_theta": 1e4,
}
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 2048}
LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}
LONGROPE = {
    "rope_type": "longrope",
    "short_factor": [1.0] * 64,
    "long_factor": [2.0] * 64,
    "original_max_position_embeddings": 2048,
}


def problems(config, *, strict=False):
    with pytest.raises(tightrope.RopeConfigError) as caught:
        tightrope.read(config, strict=strict)
    return list(caught.value.problems)


def scaled(block, **changes):
    return {**GOOD, "rope_scaling": {**block, **changes}}


ONE_PROBLEM = {
    # the type
    "unknown type": (scaled(YARN, rope_type="yarm"), "unknown rope_type 'yarm' in rope_scaling; did you mean 'yarn'?"),
    "type of a wrong type": (scaled(YARN, rope_type=4), "rope_scaling.rope_type must be a string, got 4"),
    # a value of the wrong type
    "string for a number": (scaled(YARN, factor="4"), "rope_scaling.factor must be a finite number, got '4'"),
    "bool for a number": (scaled(YARN, factor=True), "rope_scaling.factor must be a finite number, got True"),
    "nan": (scaled(YARN, factor=NAN), "rope_scaling.factor must be a finite number, got nan"),
    "infinity": (scaled(YARN, factor=INFINITY), "rope_scaling.factor must be a finite number, got inf"),
    "list for a number": (scaled(YARN, beta_fast=[32]), "rope_scaling.beta_fast must be a finite number, got [32]"),
    "number for a flag": (scaled(YARN, truncate=2), "rope_scaling.truncate must be true or false, got 2"),
    "fraction for a length": (
        scaled(YARN, original_max_position_embeddings=2048.5),
        "rope_scaling.original_max_position_embeddings must be a whole number, got 2048.5",
    ),
    "number for a list": (
        scaled(LONGROPE, short_factor=1.0),
        "rope_scaling.short_factor must be a list of finite numbers, got 1.0",
    ),
    "block of a wrong type": ({**GOOD, "rope_scaling": "yarn"}, "rope_scaling must be an object, got 'yarn'"),
    "theta of a wrong type": ({**GOOD, "rope_theta": "10000"}, "rope_theta must be a finite number, got '10000'"),
    "true for theta": ({**GOOD, "rope_theta": True}, "rope_theta must be a finite number, got True"),
    "true for a width": ({**GOOD, "head_dim": True}, "head_dim must be a whole number, got True"),
    "theta not finite": ({**GOOD, "rope_theta": INFINITY}, "rope_theta must be a finite number, got inf"),
    "theta not positive": ({**GOOD, "rope_theta": 0}, "rope_theta must be > 0, got 0"),
    "inner theta": (
        {**GOOD, "rope_parameters": {"rope_theta": -1.0}},
        "rope_parameters.rope_theta must be > 0, got -1.0",
    ),
    "share above 1": (
        {**GOOD, "model_type": "phi", "partial_rotary_factor": 1.5},
        "partial_rotary_factor must be <= 1, got 1.5",
    ),
    "head of a wrong type": ({**GOOD, "head_dim": "128"}, "head_dim must be a whole number, got '128'"),
    "head not positive": ({**GOOD, "head_dim": -64}, "head_dim must be > 0, got -64"),
    "layer types of a wrong type": ({**GOOD, "layer_types": "all"}, "layer_types must be a list of strings, got 'all'"),
    "flag of a wrong type": (
        {**GOOD, "model_type": "deepseek_v3", "rope_interleave": "yes"},
        "rope_interleave must be true or false, got 'yes'",
    ),
    # a rule broken
    "factor below 1": (scaled(YARN, factor=0.5), "rope_scaling.factor must be >= 1, got 0.5"),
    "linear factor below 1": (
        scaled({"rope_type": "linear", "factor": 0.25}),
        "rope_scaling.factor must be >= 1, got 0.25",
    ),
    "negative attention": (
        scaled(YARN, attention_factor=-1.0),
        "rope_scaling.attention_factor must be > 0, got -1.0",
    ),
    "betas swapped": (
        scaled(YARN, beta_fast=1.0, beta_slow=32.0),
        "rope_scaling: beta_fast must be >= beta_slow (32), got 1",
    ),
    "bands swapped": (
        scaled(LLAMA3, low_freq_factor=4.0, high_freq_factor=1.0),
        "rope_scaling: high_freq_factor must be >= low_freq_factor (4), got 1",
    ),
    "list too short": (
        scaled(LONGROPE, short_factor=[1.0] * 63),
        "rope_scaling: short_factor must have one entry per rotated pair (64), got 63",
    ),
    "odd head": ({**GOOD, "head_dim": 127}, "rope_parameters: rotary_dim must be even, got 127"),
    "sections that do not fit": (
        {**GOOD, "model_type": "qwen2_vl", "rope_scaling": {"type": "mrope", "mrope_section": [16, 24, 25]}},
        "rope_scaling: mrope_section must add up to the 64 rotated pairs, got [16, 24, 25]",
    ),
    "wider than the head": (
        {**GOOD, "model_type": "minimax_m2", "head_dim": 64, "rotary_dim": 128},
        "rope_parameters: rotary_dim must be <= head_dim (64), got 128",
    ),
    "too few layer types": (
        {**GOOD, "layer_types": ["full_attention"]},
        "layer_types must have 4 entries, got 1",
    ),
    "a layer type without a rope": (
        {**GOOD, "rope_parameters": {"a": {"rope_theta": 1e4}}, "layer_types": ["a", "a", "b", "a"]},
        "layer type 'b' has no rope; rope_parameters has 'a'",
    ),
    "too many layers": ({**GOOD, "num_hidden_layers": 10**9}, "num_hidden_layers must be <= 10000, got 1000000000"),
    # something missing
    "no width": (
        {key: value for key, value in GOOD.items() if key != "hidden_size"},
        "hidden_size is missing; give it, or head_dim",
    ),
    "no factor": (
        scaled({"rope_type": "linear"}),
        "rope_scaling.factor is required by rope_type 'linear' and missing",
    ),
    "yarn without anything": (
        scaled({"rope_type": "yarn"}),
        "rope_scaling: rope_type 'yarn' needs factor or original_max_position_embeddings; give at least one of them",
    ),
    "neither a known family nor a rope key": (
        {"model_type": "novel", "hidden_size": 4096, "num_attention_heads": 32},
        "unknown model_type 'novel' and no key that tells of rotary positions (rope_theta, rope_scaling, "
        "rope_parameters); give the model_type of a family like it",
    ),
}


@pytest.mark.parametrize("name", ONE_PROBLEM)
def test_a_problem_is_named_with_its_place_and_value(name):
    config, expected = ONE_PROBLEM[name]
    assert problems(config) == [expected]


def test_every_problem_is_reported_at_once():
    config = {
        **GOOD,
        "head_dim": "wide",
        "rope_theta": -5,
        "rope_scaling": {"rope_type": "yarn", "factor": 0.5, "beta_fast": "many"},
    }
    assert set(problems(config)) == {
        "head_dim must be a whole number, got 'wide'",
        "rope_theta must be > 0, got -5",
        "rope_scaling.factor must be >= 1, got 0.5",
        "rope_scaling.beta_fast must be a finite number, got 'many'",
    }


def test_a_problem_inside_has_its_whole_path():
    text = {**GOOD, "rope_parameters": {"sliding_attention": {"rope_theta": 0}}}
    assert problems({"model_type": "llava", "text_config": text}) == [
        "text_config.rope_parameters.sliding_attention.rope_theta must be > 0, got 0",
        "layer type 'full_attention' has no rope; rope_parameters has 'sliding_attention'",
    ]


def test_a_long_value_is_cut():
    (problem,) = problems({**GOOD, "rope_theta": "1" * 1000})
    assert len(problem) < 120


class TestUnknownKeys:
    CONFIG = scaled(YARN, facter=4.0)
    TEXT = "unknown key 'rope_scaling.facter' (value 4.0); did you mean 'factor'?"

    def test_warn_and_are_noted(self):
        with pytest.warns(tightrope.RopeWarning, match="unknown key 'rope_scaling.facter'"):
            model = tightrope.read(self.CONFIG)
        assert self.TEXT in model.notes

    def test_are_problems_when_reading_is_strict(self):
        assert problems(self.CONFIG, strict=True) == [self.TEXT]

    @pytest.mark.parametrize(
        ("config", "missing", "unknown"),
        [
            (
                scaled({"rope_type": "linear", "facter": 4.0}),
                "rope_scaling.factor is required by rope_type 'linear' and missing",
                "unknown key 'rope_scaling.facter' (value 4.0); did you mean 'factor'?",
            ),
            (
                {**GOOD, "rope_parameters": {"rope_type": "yarn", "facter": 4.0, "rope_theta": 1e4}},
                "rope_parameters: rope_type 'yarn' needs factor or original_max_position_embeddings; "
                "give at least one of them",
                "unknown key 'rope_parameters.facter' (value 4.0); did you mean 'factor'?",
            ),
            (
                {**GOOD, "rope_parameters": {"full_attention": {"rope_type": "linear", "factr": 4.0}}},
                "rope_parameters.full_attention.factor is required by rope_type 'linear' and missing",
                "unknown key 'rope_parameters.full_attention.factr' (value 4.0); did you mean 'factor'?",
            ),
            (
                scaled({"rope_type": "linear", "scale": 4.0}),
                "rope_scaling.factor is required by rope_type 'linear' and missing",
                "unknown key 'rope_scaling.scale' (value 4.0)",
            ),
        ],
        ids=["rope_scaling", "rope_parameters", "per layer", "nothing near"],
    )
    def test_are_told_with_what_is_missing(self, config, missing, unknown):
        assert problems(config) == [missing, unknown]

    def test_shared_by_several_ropes_are_told_once(self):
        block = {"rope_type": "linear", "factor": 2.0, "facter": 4.0}
        with pytest.warns(tightrope.RopeWarning) as warned:
            model = tightrope.read({**scaled(block), "model_type": "modernbert"})
        assert len(warned) == 1
        assert sum("facter" in note for note in model.notes) == 1

    def test_of_another_rope_type_are_noted_without_a_warning(self):
        model = tightrope.read(scaled({"rope_type": "linear", "factor": 2.0, "beta_fast": 32}), strict=True)
        assert "rope_scaling.beta_fast has no effect with rope_type 'linear'" in model.notes

    def test_of_one_family_are_unknown_to_another(self):
        assert problems(scaled(YARN, llama_4_scaling_beta=0.1), strict=True)
        tightrope.read({**scaled(YARN, llama_4_scaling_beta=0.1), "model_type": "ministral3"}, strict=True)


def test_an_unknown_family_is_a_problem_when_reading_is_strict():
    assert problems({**GOOD, "model_type": "novel"}, strict=True) == [
        "unknown model_type 'novel'; give the model_type of a family like it"
    ]


@pytest.mark.parametrize(
    ("config", "note"),
    [
        (
            scaled(YARN, factor=8.0),
            "rope_scaling: factor 8 × original_max_position_embeddings 2048 is not max_position_embeddings 8192; "
            "each is used as it stands",
        ),
        (
            {**scaled(LLAMA3), "max_position_embeddings": 4096},
            "rope_scaling: original_max_position_embeddings 8192 exceeds max_position_embeddings 4096",
        ),
        (
            scaled(YARN, type="linear"),
            "rope_scaling.rope_type 'yarn' counts; rope_scaling.type 'linear' contradicts it",
        ),
        (
            scaled({"factor": 4.0}),
            "rope_scaling.factor has no effect: rope_scaling has no rope_type, so it is 'default'",
        ),
    ],
)
def test_what_contradicts_itself_is_noted(config, note):
    assert note in tightrope.read(config).notes


def test_an_unknown_type_hides_no_other_problem():
    found = problems({**GOOD, "hidden_size": "wide", "rope_scaling": {"rope_type": "yarm"}})
    assert [text.split(" in ")[0].split(",")[0] for text in found] == [
        "unknown rope_type 'yarm'",
        "hidden_size must be a whole number",
    ]
