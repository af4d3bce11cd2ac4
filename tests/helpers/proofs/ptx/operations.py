"""Arithmetic of PTX: opcode → the types of its operands and of its result, and a numpy function over all lanes."""

from functools import cache

import numpy as np

from proofs.ptx.program import UnsupportedError
from tightrope.rope.reference import fma, round_to

TYPES = {
    f"{kind}{bits}": np.dtype(f"{numpy}{bits}")
    for kind, numpy in (("u", "uint"), ("b", "uint"), ("s", "int"))
    for bits in (8, 16, 32, 64)
}
TYPES |= {"f32": np.dtype("float32"), "f16": np.dtype("uint16"), "bf16": np.dtype("uint16"), "pred": np.dtype("bool")}
TYPES |= {"bf16x2": np.dtype("uint32"), "f16x2": np.dtype("uint32"), "f32x2": np.dtype("uint64")}


@cache
def operation(opcode):
    """Return (type of the result, types of the operands, function) of an arithmetic opcode."""
    name, *modifiers = opcode
    try:
        return _FAMILIES[name](name, *modifiers)
    except (KeyError, TypeError, ValueError):
        raise UnsupportedError(".".join(opcode)) from None


def _elementwise(name, *modifiers):
    *rounding, kind = modifiers
    # Flushed, saturated and approximate arithmetic are refused; `rn` is what no modifier means.
    function, operands = {"f32": _FLOAT, "pred": _LOGIC}.get(kind, _INTEGER)[name]
    if rounding not in ([], ["rn"]) or (rounding and kind != "f32"):
        raise ValueError
    return kind, (kind,) * operands, function


def _pairs_of_floats(name, *modifiers):
    function, operands = _FLOAT[name]
    if modifiers not in (("rn", "f32x2"), ("f32x2",)):
        raise ValueError

    def both(*values):
        return function(*(value.view(np.float32) for value in values)).view(np.uint64)

    return "f32x2", ("f32x2",) * operands, both


def _add_and_so_on(name, *modifiers):
    return (_pairs_of_floats if modifiers[-1] == "f32x2" else _elementwise)(name, *modifiers)


def _negative(value):
    return (value.view(np.uint32) ^ np.uint32(1 << 31)).view(np.float32)


_FLOAT = {
    "add": (np.add, 2), "sub": (np.subtract, 2), "mul": (np.multiply, 2), "fma": (fma, 3),
    "neg": (_negative, 1), "abs": (np.abs, 1), "min": (np.fmin, 2), "max": (np.fmax, 2),
}  # fmt: skip
_LOGIC = {"and": (np.logical_and, 2), "or": (np.logical_or, 2), "xor": (np.logical_xor, 2), "not": (np.logical_not, 1)}
_INTEGER = {
    "add": (np.add, 2), "sub": (np.subtract, 2), "and": (np.bitwise_and, 2), "or": (np.bitwise_or, 2),
    "xor": (np.bitwise_xor, 2), "not": (np.bitwise_not, 1), "neg": (np.negative, 1), "min": (np.minimum, 2),
    "max": (np.maximum, 2),
}  # fmt: skip


def _product(name, *modifiers):
    if modifiers[-1] in ("f32", "f32x2"):
        return _add_and_so_on(name, *modifiers)
    part, kind = modifiers
    wide = f"{kind[0]}{2 * int(kind[1:])}"
    result = wide if part == "wide" else kind

    def product(a, b):
        if part == "hi":
            exact = a.astype(object) * b.astype(object) >> a.dtype.itemsize * 8
            return (exact & (1 << a.dtype.itemsize * 8) - 1).astype(TYPES["u" + kind[1:]]).view(TYPES[kind])
        return a.astype(TYPES[result]) * b.astype(TYPES[result])

    if part not in ("lo", "hi", "wide"):
        raise ValueError
    if name == "mul":
        return result, (kind, kind), product
    return result, (kind, kind, result), lambda a, b, c: product(a, b) + c


def _quotient(name, kind):
    def divide(a, b):
        exact = np.abs(a.astype(object)) // np.abs(b.astype(object))
        quotient = np.where((a < 0) != (b < 0), -exact, exact)
        return (quotient if name == "div" else a.astype(object) - quotient * b.astype(object)).astype(TYPES[kind])

    return kind, (kind, kind), divide


def _shift(name, kind):
    bits = int(kind[1:])

    def shift(value, count):
        far = count >= bits
        if name == "shl":
            return np.where(far, TYPES[kind].type(0), value << np.where(far, 0, count).astype(value.dtype))
        # An arithmetic shift by too much leaves the sign, a logical one nothing.
        moved = value >> np.where(far, bits - 1, count).astype(value.dtype)
        return moved if kind[0] == "s" else np.where(far, TYPES[kind].type(0), moved)

    return kind, (kind, "u32"), shift


def _funnel(name, direction, mode, kind):
    if (mode, kind) != ("wrap", "b32"):
        raise ValueError

    def shift(low, high, count):
        both = high.astype(np.uint64) << np.uint64(32) | low
        count = (count & np.uint32(31)).astype(np.uint64)
        return (both >> count if direction == "r" else both << count >> np.uint64(32)).astype(np.uint32)

    return kind, (kind, kind, "u32"), shift


def _extract(name, kind):
    bits = int(kind[1:])

    def extract(value, start, length):
        start, length = np.minimum(start & 255, bits).astype(np.int64), np.minimum(length & 255, bits).astype(np.int64)
        exact = [(int(v) >> int(s)) & ((1 << int(n)) - 1) for v, s, n in zip(value, start, length, strict=True)]
        if kind[0] == "s":
            exact = [v - (1 << int(n)) if n and v >> int(n - 1) else v for v, n in zip(exact, length, strict=True)]
        return np.array(exact, dtype=TYPES[kind])

    return kind, (kind, "u32", "u32"), extract


def _permute(name, kind):
    def permute(a, b, selector):
        octets = np.stack([a, b], -1).astype("<u4").view(np.uint8).reshape(len(a), 8)
        nibbles = selector[:, None] >> np.arange(0, 16, 4, dtype=np.uint32) & np.uint32(15)
        chosen = np.take_along_axis(octets, (nibbles & 7).astype(np.int64), 1)
        signs = np.where(chosen & 0x80, np.uint8(255), np.uint8(0))
        return np.ascontiguousarray(np.where(nibbles & 8, signs, chosen)).view("<u4").reshape(-1)

    return kind, (kind, kind, kind), permute


def _select(name, kind):
    return kind, (kind, kind, "pred"), lambda a, b, choice: np.where(choice, a, b)


_COMPARISONS = {
    "eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal,
    "lo": np.less, "ls": np.less_equal, "hi": np.greater, "hs": np.greater_equal,
}  # fmt: skip
# With floats, the u-forms are true where either side is NaN.
_UNORDERED = {"neu": np.equal, "ltu": np.greater_equal, "leu": np.greater, "gtu": np.less_equal, "geu": np.less}


def _compare(name, comparison, kind):
    if kind != "f32":
        return "pred", (kind, kind), _COMPARISONS[comparison]
    if comparison in ("nan", "num"):
        return "pred", (kind, kind), lambda a, b: (np.isnan(a) | np.isnan(b)) == (comparison == "nan")
    if comparison in _UNORDERED:
        return "pred", (kind, kind), lambda a, b: ~_UNORDERED[comparison](a, b)
    if comparison == "ne":
        return "pred", (kind, kind), lambda a, b: (a < b) | (a > b)
    return "pred", (kind, kind), _COMPARISONS[comparison]


def _convert(name, *modifiers):
    if (rounded := _ROUNDED.get(modifiers)) is not None:
        return rounded
    target, source = modifiers
    if target[0] == "f" or source[0] in "fb":
        raise ValueError
    return target, (source,), lambda value: value.astype(TYPES[target])


def _to_bfloat16(value):
    return (round_to(value, "bfloat16").view(np.uint32) >> np.uint32(16)).astype(np.uint16)


def _to_float16(value):
    return round_to(value, "float16").astype(np.float16).view(np.uint16)


def _two(rounding):
    return lambda upper, lower: rounding(upper).astype(np.uint32) << np.uint32(16) | rounding(lower)


_ROUNDED = {
    ("rn", "f32", "s32"): ("f32", ("s32",), lambda value: value.astype(np.float32)),
    ("rn", "f32", "u32"): ("f32", ("u32",), lambda value: value.astype(np.float32)),
    ("f32", "f16"): ("f32", ("f16",), lambda value: value.view(np.float16).astype(np.float32)),
    ("f32", "bf16"): ("f32", ("bf16",), lambda value: (value.astype(np.uint32) << np.uint32(16)).view(np.float32)),
    ("rn", "f16", "f32"): ("f16", ("f32",), _to_float16),
    ("rn", "bf16", "f32"): ("bf16", ("f32",), _to_bfloat16),
    ("rn", "f16x2", "f32"): ("f16x2", ("f32", "f32"), _two(_to_float16)),
    ("rn", "bf16x2", "f32"): ("bf16x2", ("f32", "f32"), _two(_to_bfloat16)),
}


def _move(name, kind):
    return kind, (kind,), lambda value: value


def _address(name, *modifiers):
    # Generic and global addresses are the same numbers here.
    return modifiers[-1], (modifiers[-1],), lambda value: value


_FAMILIES = {
    **dict.fromkeys(("add", "sub", "and", "or", "xor", "not", "neg", "abs", "min", "max", "fma"), _add_and_so_on),
    **dict.fromkeys(("mul", "mad"), _product),
    **dict.fromkeys(("div", "rem"), _quotient),
    **dict.fromkeys(("shl", "shr"), _shift),
    "shf": _funnel, "bfe": _extract, "prmt": _permute, "selp": _select, "setp": _compare, "cvt": _convert, "mov": _move,
    "cvta": _address,
}  # fmt: skip
