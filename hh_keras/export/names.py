"""Names that TensorFlow takes, for those of a model that it does not."""

import contextlib
import keyword
import re
import unicodedata
from collections.abc import Iterator, Sequence

import keras

_ARGUMENT = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_SCOPE = re.compile(r"[A-Za-z0-9.][A-Za-z0-9_.\\>-]*")
_OWN = ("self", "cls", "args", "kwargs")  # of the functions that TensorFlow makes
_SPELLED = {"ß": "ss", "ä": "ae", "ö": "oe", "ü": "ue", "æ": "ae", "ø": "oe", "å": "aa"}


def safe_names(names: Sequence[str], kind: str = "input") -> list[str]:
    """Names for the arguments, or results, of a signature.

    A name that is one already stays. Of others the letters stay, umlauts as two; what
    is then taken, in small or capital letters, is numbered.

    Args:
        names: those in the model, in its order.
        kind: what stands before a digit, or for a name without letters.

    Returns:
        A list of as many different names.

    Examples:
        >>> safe_names(["Fare per person", "größe", "class", "1st", "a b", "a_b"])
        ['Fare_per_person', 'groesse', 'class_', 'input_1st', 'a_b_1', 'a_b']
    """
    good = [name for name in names if _is_safe(name)]
    taken = {name.lower() for name in good}
    unused = list(good)
    found: list[str] = []
    for name in names:
        if name in unused and not any(name.lower() == f.lower() for f in found):
            unused.remove(name)
            found.append(name)
            continue
        stem = _spelled(name, kind)
        number, new = 0, stem
        while new.lower() in taken:
            number += 1
            new = f"{stem}_{number}"
        taken.add(new.lower())
        found.append(new)
    return found


def renamed(names: Sequence[str], kind: str = "input") -> dict[str, str]:
    """Safe name to the model's, for those that are not the same."""
    pairs = zip(safe_names(names, kind), names, strict=True)
    return {safe: name for safe, name in pairs if safe != name}


@contextlib.contextmanager
def layer_names(model: keras.Model) -> Iterator[None]:
    """Gives layers, and weights, that TensorFlow cannot name other names in this block.

    They are the names of scopes in its graphs, and nothing else. Models of tf_keras are
    left alone.
    """
    if not isinstance(model, keras.Model):
        yield
        return
    layers = [model, *model._flatten_layers(include_self=False)]
    weights = [v.value for v in model.variables]
    named = [(x, "name") for x in layers] + [(x, "_handle_name") for x in weights]
    kept = [(x, key, getattr(x, key, "")) for x, key in named]
    kept = [(x, key, name) for x, key, name in kept if not _is_scope(name)]
    try:
        for x, key, name in kept:
            setattr(x, key, _scope(name))
        yield
    finally:
        for x, key, name in kept:
            setattr(x, key, name)


def _is_scope(name):
    parts = name.partition(":")[0].split("/")
    return not name or all(_SCOPE.fullmatch(part) for part in parts)


def _scope(name):
    name, colon, output = name.partition(":")  # weights have an output's number
    return "/".join(_spelled(p, "layer") for p in name.split("/")) + colon + output


def _is_safe(name):
    return bool(_ARGUMENT.fullmatch(name)) and not (
        keyword.iskeyword(name) or name in _OWN
    )


def _spelled(name, kind):
    for letter, letters in _SPELLED.items():
        name = name.replace(letter, letters)
        if len(letter.upper()) == 1:
            name = name.replace(letter.upper(), letters.capitalize())
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    plain = re.sub(r"[^A-Za-z0-9]+", "_", plain).strip("_")
    if not plain or plain[0].isdigit():
        plain = f"{kind}_{plain}".rstrip("_")
    return plain if _is_safe(plain) else f"{plain}_"
