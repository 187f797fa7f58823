"""What every export asks of a model, and how it words a failure."""

from hh_keras.errors import ModelError


def check_built(model):
    """Raises ModelError unless a model has known inputs."""
    if not getattr(model, "inputs", None) or not model.built:
        raise ModelError(
            f"{model.name!r} has no known inputs; only built functional or sequential "
            "models can be exported. Start it with keras.Input."
        )


def failed(model, path, error):
    """Words the failure of an export."""
    reason = " ".join(str(error).split())[:400]
    return f"{model.name!r} cannot be exported to {path}: {reason}"
