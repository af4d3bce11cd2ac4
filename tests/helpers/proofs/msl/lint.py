"""What C++ allows and Metal does not: a check of the text, comments left out."""

import re

_TYPE = r"(?:float|half|bfloat\w*|int\w*|uint\w*|long|ulong|short|ushort|char|uchar|bool|void|T)"
_FORBIDDEN = {
    r"\bdouble\b": "there is no double",
    r"(?<![\w.])\d+\.\d*(?:[eE][+-]?\d+)?(?![\w.])": "a number without f is a double",
    r"\blong\s+long\b": "there is no long long",
    r"\bgoto\b": "there is no goto",
    r"\bstd::": "there is no std",
    r"\[[&=]?\]\s*\(": "there are no lambdas before Metal 3.2",
    r"\bstatic\b": "nothing static can change",
    r"\b(?:virtual|throw|try|catch|new|delete|dynamic_cast|typeid|thread_local|asm)\b": "not in Metal",
    rf"(?<!device )(?<!constant )(?<!thread )(?<!threadgroup )\b{_TYPE}\s*\*\s*\w": "a pointer needs an address space",
    r"[^\x00-\x7f]": "MPS takes 7-bit text",
}
_VARIABLE = re.compile(
    r"(?!constant|constexpr|struct|template|typedef|using|inline|kernel|return)\w[\w:<>]*\s+\w+\s*(?:=|;)"
)
_FUNCTION = re.compile(r"(?:\binline|ROPE_FN)\s+[\w:<>]+\s+(\w+)(?:<\w+>)?\s*\([^)]*\)\s*\{")


def complaints(text):
    """Return what is wrong with a text, a line each."""
    text = re.sub(r"//[^\n]*|/\*.*?\*/", "", text, flags=re.DOTALL)
    found = [f"{match.group(0)}: {why}" for rule, why in _FORBIDDEN.items() for match in re.finditer(rule, text)]
    return [*found, *_mutable_globals(text), *_recursions(text)]


def _mutable_globals(text):
    depth = 0
    for line in text.splitlines():
        if depth == 0 and _VARIABLE.match(line.strip()):
            yield f"{line.strip()}: outside of functions everything is constant"
        depth += line.count("{") - line.count("}")


def _recursions(text):
    for function in _FUNCTION.finditer(text):
        if re.search(rf"\b{function.group(1)}\s*\(", _block(text, function.end())):
            yield f"{function.group(1)}: calls itself"


def _block(text, start):
    """Return what stands between the brace before start and the one that closes it."""
    depth, end = 1, start
    while depth and end < len(text):
        depth += {"{": 1, "}": -1}.get(text[end], 0)
        end += 1
    return text[start:end]
