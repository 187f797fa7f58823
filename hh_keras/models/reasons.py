"""What Keras' long messages say, in one sentence."""

_ADVICE = (" Full object config", " Make sure custom", " and therefore", " To be")
_LONGEST = 300  # characters


def keras_reason(error: Exception) -> str:
    """The innermost of the messages that Keras nests, without its advice.

    Args:
        error: what saving or loading raised.

    Returns:
        Text without a full stop at its end.
    """
    text = " ".join(str(error).split()).rpartition("Exception encountered: ")[2]
    for rest in _ADVICE:
        text = text.partition(rest)[0]
    if text.startswith("Could not interpret activation function identifier: {'value'"):
        return "its activation is a Python lambda"
    text = text.replace("function '<lambda>'", "a Python lambda").rstrip(".,")
    return text[:_LONGEST] or type(error).__name__
