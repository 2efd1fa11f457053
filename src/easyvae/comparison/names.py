"""Names of models, and of their files."""

import re
import unicodedata


def file_name(name: str) -> str:
    """Returns a file name without an ending for a model's name.

    Example:
        >>> file_name("beta 0.05"), file_name("../v3")
        ('beta-0.05', 'v3')
    """
    name = unicodedata.normalize("NFC", name)
    return re.sub(r"[^\w.]+", "-", name).strip("-.") or "model"
