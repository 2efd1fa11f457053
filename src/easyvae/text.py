"""Text from elsewhere, made fit to be shown."""


def printable(text: str) -> str:
    r"""Returns `text` with line breaks and other unprintable characters escaped.

    File names hold any bytes: a line break would forge a line of a report, an escape sequence
    commands the terminal, and a lone surrogate cannot be printed at all.

    Example:
        >>> printable("a\nb")
        'a\\nb'
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
