"""Text from outside, as it may be shown: what a terminal, a browser or an XML reader would obey is spelled out."""


def printable(text: str) -> str:
    r"""Return a text on one line, without characters that act: each becomes its escape, `\x1b`, `\n`, `\u202e`.

    Control characters, the escape that begins a terminal's commands, line and paragraph separators, marks that reverse
    the direction of text, and halves of surrogate pairs (bytes of a file name that are not UTF-8).
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() or one == "\N{NO-BREAK SPACE}" else _escaped(one) for one in text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
