"""What is known of mlx-lm: the audit finds every class of disagreement in it, and names its cause."""

import pytest

import tightrope
from audits.fragments import clean, older
from audits.mlx_lm_facts import KNOWN
from tightrope.verify import audit


@pytest.mark.backend("mlx")
@pytest.mark.parametrize(("config", "status", "causes"), KNOWN.values(), ids=KNOWN)
def test_every_known_class_of_disagreement_in_mlx_lm_is_found_and_named(config, status, causes):
    pytest.importorskip("mlx_lm", exc_type=ImportError)
    found = audit.audit(clean(config), ["mlx-lm"]).peers[0]
    assert (found.status, set(found.causes)) == (status, causes), found.verdict


@pytest.mark.backend("mlx")
@pytest.mark.parametrize("name", [name for name, (_, status, _) in KNOWN.items() if status == "wrong"])
def test_what_is_wrong_in_mlx_lm_is_mended_by_patching_but_for_a_layout(name):
    """A rope that pairs differently from its family may be a family of another name: that is a doubt."""
    pytest.importorskip("mlx_lm", exc_type=ImportError)
    config, _, causes = KNOWN[name]
    mends = audit.audit(clean(config), ["mlx-lm"]).peers[0].mends
    assert ("pairs channels 'half', the configuration says 'interleaved'" in mends) == ("layout" in causes)
    assert (mends == "") == ("layout" not in causes)


@pytest.mark.backend("mlx")
def test_a_length_for_each_row_makes_dynamic_ntk_of_mlx_lm_raise_and_ours_not():
    """No audit shows this: it calls with one offset, and a server calls with one for each row."""
    mx, utils = pytest.importorskip("mlx.core"), pytest.importorskip("mlx_lm.models.rope_utils", exc_type=ImportError)
    from tightrope.backends.mlx.mlx_lm.rope import MLXRope

    scaling = {"rope_type": "dynamic", "factor": 2.0}
    theirs = utils.initialize_rope(16, 10_000.0, False, scaling, max_position_embeddings=32)
    ours = MLXRope(tightrope.read(older("llama", scaling)))
    x, offset = mx.ones((2, 1, 4, 16)), mx.array([3, 40])
    with pytest.raises(ValueError, match="scalar"):
        mx.eval(theirs(x, offset=offset))
    assert ours(x, offset=offset).shape == x.shape
