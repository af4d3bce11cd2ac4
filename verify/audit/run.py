"""Does a library rotate a model as its configuration says? Its own rope objects, built and compared with the truth."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from tightrope.backends.patching.report import in_words
from tightrope.rope.config.model import ModelRope, Spelling
from tightrope.rope.errors import BackendUnavailable, RopeConfigError
from tightrope.rope.reading import read
from tightrope.rope.reading.conversion import convert
from tightrope.rope.reading.families.lookup import find_family
from tightrope.rope.reading.huggingface.geometry import LAYERS_KEYS
from tightrope.rope.reading.source import gguf_path
from tightrope.rope.reading.source import load as load_source
from tightrope.rope.support.extras import install_command
from tightrope.verify.audit.causes import KEY, SPELLING, UNKNOWN, explain
from tightrope.verify.audit.comparison import compare, rotate_by
from tightrope.verify.audit.gguf import FilePeer, beside, contents
from tightrope.verify.audit.peers import (
    PEERS,
    Built,
    Peer,
    PeerLacks,
    PeerRefuses,
    PeerUnusable,
    Unloadable,
    installed,
    load,
    version_of,
)  # fmt: skip
from tightrope.verify.audit.remedies import remedies
from tightrope.verify.audit.report import VISIBLE, Audit, PeerAudit, RopeAudit, Status

_WORST: Final[Sequence[Status]] = ("agrees", "rounding", "wrong")
# How far a float32 softmax scale may be from the configuration's.
_SCALE_ROUNDING: Final = 1e-6


def audit(
    source: object,
    against: Sequence[str] = (),
    *,
    name: str = "",
    spelling: Spelling | None = None,
    context: int | None = None,
) -> Audit:
    """Compare how libraries rotate a model with what its configuration says.

    Args:
        source: What `tightrope.read` takes: a config.json, or a GGUF file, which is compared with llama.cpp and with
            the config.json beside it.
        against: Names of `PEERS`; by default those that are installed.
        name: What to call the configuration.
        spelling: Write it in this spelling first, as transformers 5 does (`"v5"`) when it saves a model.
        context: Tokens for which a library is set up that decides by its context (llama.cpp); by default the model's
            own.

    Raises:
        RopeConfigError: There is no peer of that name, or a spelling is asked of a GGUF file.
        BackendUnavailable: A peer that was named is not installed, or none was named and none is.
    """
    names = against or installed()
    if not names:
        commands = "; or ".join(install_command(entry.distribution) for entry in PEERS.values())
        raise BackendUnavailable(f"there is no library to audit; {commands}")
    peers = [(peer_name, *_loaded(peer_name, named=bool(against))) for peer_name in names]
    path = gguf_path(source)
    if path is not None:
        asked = peers if against else [one for one in peers if hasattr(one[1], "build_file")]
        return _of_file(path, asked, name, spelling, context)
    try:
        config, found = load_source(source)
        config = _with_layers(config)
        model = read(config)
        config = convert(config, spelling) if spelling else config
    except RopeConfigError as error:
        return Audit(name or str(source), remark="; ".join(error.problems), unreadable=True)
    found = name or found or model.model_type
    if not model.ropes:
        return Audit(found, remark="it has no rotary position embedding")
    if any(rope.is_axial for rope in model.ropes.values()):
        return Audit(found, remark="it is a tower of patches; text models are compared")
    if not _used(model):
        return Audit(found, remark="none of its layers has a rotary position embedding")
    audits = []
    for peer_name, peer, version in peers:
        one = _audited(f"{peer_name} {version}", peer, config, model, context)
        audits.append(replace(one, remedies=remedies(one, peer_name, source)))
    return Audit(found, tuple(audits))


def _loaded(name: str, *, named: bool) -> tuple[Peer, str]:
    """Return a peer and its version; one that nobody named and that fails to import does not keep the others back."""
    try:
        return load(name)
    except BackendUnavailable as error:
        if named:
            raise
        return Unloadable(str(error)), version_of(PEERS[name])


def _of_file(
    path: Path, peers: Sequence[tuple[str, Peer, str]], name: str, spelling: Spelling | None, context: int | None
) -> Audit:
    """Compare llama.cpp with a GGUF file, and the file with the config.json beside it."""
    if spelling is not None:
        raise RopeConfigError("spelling is of a config.json; a GGUF file has none", source=str(path))
    try:
        file, model = contents(path)
    except RopeConfigError as error:
        return Audit(name or str(path), remark="; ".join(error.problems), unreadable=True)
    if not _used(model):
        return Audit(name or str(path), remark="it has no rotary position embedding")
    audits = [
        _audited(f"{peer_name} {version}", FilePeer(peer, file), {}, model, context)
        for peer_name, peer, version in peers
    ]
    told = [
        replace(one, verdict=one.verdict.replace("config.json", "the file") if one.ropes else one.verdict)
        for one in audits
    ]
    stated = beside(path, model)
    return Audit(name or str(path), (*told, *((stated,) if stated is not None else ())))


def _with_layers(config: dict[str, Any]) -> dict[str, Any]:
    """Return a configuration with as many layers as its class fills in, where a flat file does not say how many.

    Libraries build their own number then, and which of them has which rope would be left open.
    """
    family = find_family(str(config.get("model_type", "")))
    count = None if family is None else family.shape[2]
    said = any(config.get(key) is not None for key in (*LAYERS_KEYS, "layer_types"))
    nested = any(isinstance(value, dict) and "model_type" in value for value in config.values())
    return config if said or nested or count is None else {**config, "num_hidden_layers": count}


def _used(model: ModelRope) -> list[str]:
    """Return the keys of the ropes that a layer uses; all where the configuration does not say how many layers."""
    return [key for key in model.ropes if not model.layers or key in model.layers]


def _ropes(built: Built, model: ModelRope) -> tuple[RopeAudit, ...]:
    return tuple(_rope(built, key, model) for key in _used(model))


def _audited(title: str, peer: Peer, config: dict[str, Any], model: ModelRope, context: int | None = None) -> PeerAudit:
    try:
        built = peer.build(config, model, context)
        ropes = _ropes(built, model)
    except PeerLacks as error:
        return PeerAudit(title, "absent", f"{title} has no rope object to build for this model: {error}")
    except PeerUnusable as error:
        return PeerAudit(title, "unusable", f"{title} cannot be examined here: {error}")
    except PeerRefuses as error:
        return _refusal(title, peer, config, model, error, context)
    faults = _faults(built, model)
    status: Status = "wrong" if faults else max((rope.status for rope in ropes), key=_WORST.index)
    if status == "wrong" and model.guessed:
        verdict = f"{title} rotates this model otherwise than Tightrope guesses of an unknown family; neither is judged"
        return PeerAudit(title, "unjudged", verdict, ropes)
    causes = _causes(ropes, faults)
    older = _causes_in_older_spelling(peer, config, model, context) if status == "wrong" else None
    if older is not None and older != causes:
        causes = older | {_cure(config)}
    if status == "rounding":
        causes = {"precision only"}
    mends = built.mends() if status == "wrong" else ""
    verdict = _verdict(title, ropes, model, status, faults)
    if built.settings:
        verdict += f" (assumed: {built.settings})"
    return PeerAudit(title, status, verdict, ropes, tuple(sorted(causes)), mends)


def _causes(ropes: Sequence[RopeAudit], faults: Mapping[str, str]) -> set[str]:
    """Return the classes of what a peer does otherwise."""
    causes = {deviation.cause for rope in ropes for deviation in rope.deviations}
    causes |= {UNKNOWN for rope in ropes if rope.status == "wrong" and not rope.deviations}
    return causes | set(faults)


def _rope(built: Built, key: str, model: ModelRope) -> RopeAudit:
    rope, layer = model.ropes[key], _layer(model, key)
    rotated = rotate_by(built, layer, rope)
    comparison = compare(rotated, rope, multiplies=built.multiplies)
    if comparison.explained:
        visible = max(comparison.errors.values()) > VISIBLE
        return RopeAudit(key, comparison.errors, "rounding" if visible else "agrees")
    return RopeAudit(key, comparison.errors, "wrong", explain(rotated, built, layer, rope))


def _layer(model: ModelRope, key: str) -> int:
    """Return a layer that has this rope; the first where the configuration does not say how many there are."""
    return model.layers.index(key) if model.layers else 0


def _refusal(
    title: str, peer: Peer, config: dict[str, Any], model: ModelRope, error: Exception, context: int | None
) -> PeerAudit:
    older = _causes_in_older_spelling(peer, config, model, context)
    reason = " ".join(str(error).split())
    if older is None:
        return PeerAudit(
            title, "refuses", f"{title} does not build this model: {reason}", causes=("not built",), mends=reason
        )
    verdict = f"{title} does not build this model: {reason}; it takes the older spelling (rope_theta, rope_scaling)"
    return PeerAudit(title, "refuses", verdict, causes=tuple(sorted(older | {_cure(config)})))


def _causes_in_older_spelling(
    peer: Peer, config: dict[str, Any], model: ModelRope, context: int | None
) -> set[str] | None:
    """Return what a peer does otherwise once the same ropes are written as rope_theta and rope_scaling.

    None where it is written so already, where that spelling has no words for it, or where the peer refuses it too.
    """
    try:
        older = convert(config, "v4")
        if older == config:
            return None
        built = peer.build(older, model, context)
        return _causes(_ropes(built, model), _faults(built, model))
    except (PeerRefuses, PeerLacks, PeerUnusable, RopeConfigError):
        return None


def _cure(config: dict[str, Any]) -> str:
    """Return the cause where writing the rope keys anew, in the older spelling, changes what a peer does."""
    return SPELLING if "rope_parameters" in str(config) else KEY


def _faults(built: Built, model: ModelRope) -> dict[str, str]:
    """Return what a peer does wrong beside the rotation itself: words by cause."""
    found = {"table ends": built.beyond} if built.beyond else {}
    scale = built.softmax_scale
    if scale is not None and abs(scale / model.softmax_scale - 1) > _SCALE_ROUNDING:
        words = f"scaling the attention logits by {scale:.5g} (config.json: {model.softmax_scale:.5g})"
        found["softmax factor"] = words
    return found


def _verdict(
    title: str, ropes: Sequence[RopeAudit], model: ModelRope, status: Status, faults: Mapping[str, str]
) -> str:
    if status == "agrees":
        return f"{title} rotates this model as config.json says"
    if status == "rounding":
        worst = max((error, position) for rope in ropes for position, error in rope.errors.items())
        return f"{title} rotates this model right up to float32 rounding of the angle: {worst[0]:.1g} at {worst[1]:,}"
    clauses = list(dict.fromkeys(_clause(rope, model) for rope in ropes if rope.status == "wrong"))
    return f"{title} rotates this model " + "; ".join((*clauses, *faults.values()))


def _clause(rope: RopeAudit, model: ModelRope) -> str:
    where = f" in {rope.key} layers" if len(model.ropes) > 1 else ""
    if rope.deviations:
        return ", ".join(deviation.words for deviation in rope.deviations) + where
    return f"otherwise than {in_words(model.ropes[rope.key])}{where}, for a reason that no rule knows"
