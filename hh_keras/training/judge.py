"""What is measured besides the losses, in training and in validation."""

from collections.abc import Callable, Mapping
from typing import Any

import keras
import tensorflow as tf
from keras.src.backend import compute_output_spec
from keras.src.trainers.compile_utils import CompileMetrics

from hh_keras.errors import HHError
from hh_keras.graph.heads import known_outputs, output_names, structured
from hh_keras.training.losses import by_output, flat_by_name, weight_of


class Judge:
    """Running means of values per example, and Keras' own metrics, which have states.

    Made in the scope of a strategy.

    Args:
        model: whose outputs.
        measures: name → `f(labels, outputs) → (batch,)`, outputs in the structure of
            the model's; NaN for an example that tells nothing, which does not count.
        metrics, weighted_metrics: what `model.compile` takes; the latter see sample
            weights.
        labels: structure of `tf.TensorSpec`.

    Attributes:
        names_of_results: what `judge` returns, by name.

    Raises:
        HHError: metrics that do not fit the outputs, or give several numbers.
    """

    def __init__(
        self,
        model: keras.Model,
        measures: Mapping[str, Callable],
        metrics: Any = None,
        weighted_metrics: Any = None,
        labels: Any = None,
    ) -> None:
        self.model, self.measures = model, measures
        self.names = output_names(model)
        self.means = [_Told(name=name) for name in measures]
        self.compiled = None
        self.names_of_results = list(measures)
        if metrics or weighted_metrics:
            self.compiled = self._built(metrics, weighted_metrics, labels)

    @property
    def metrics(self) -> list:
        """All of them, Keras metrics."""
        return [*self.means, *([self.compiled] if self.compiled else [])]

    def judge(self, labels: Any, outputs: list, share: Any, own: Any) -> dict:
        """Adds a batch; returns name → result so far.

        Args:
            labels: as the data have them.
            outputs: flat, the model's own and whatever is behind them.
            share: float32 `(batch,)`, 0 for what only fills a batch up.
            own: sample weights, or None.
        """
        ours = structured(self.model, outputs[: len(self.names)])
        counts = tf.cast(share > 0, tf.float32)
        for mean in self.means:
            values = tf.cast(self.measures[mean.name](labels, ours), tf.float32)
            tells = ~tf.math.is_nan(values)
            values = tf.where(tells, values, 0.0)
            mean.update_state(values, counts * tf.cast(tells, tf.float32))
        found = {mean.name: mean.result() for mean in self.means}
        if self.compiled is None:
            return found
        weights = None if own is None else self._ordered(weight_of(own, self.names))
        batch = self._ordered(self._labels(labels)), ours, weights
        if tf.distribute.get_strategy().num_replicas_in_sync > 1:
            # Not all metrics take weights of examples, so those that weigh 0 leave.
            real = share > 0
            batch = keras.tree.map_structure(
                lambda x: None if x is None else tf.boolean_mask(x, real), batch
            )
        self.compiled.update_state(*batch)
        return {**found, **self.compiled.result()}

    def _labels(self, labels):
        found = flat_by_name(labels, self.names)
        if len(self.names) == len(found) == 1:
            return dict(zip(self.names, found.values()))
        return found

    def _ordered(self, by_name):
        return structured(self.model, [by_name.get(name) for name in self.names])

    def _built(self, metrics, weighted_metrics, labels):
        for each in (metrics, weighted_metrics):
            if isinstance(each, Mapping):
                keys = list(dict.fromkeys(name.split("/")[0] for name in self.names))
                by_output("metrics", dict.fromkeys(each), keys)
        compiled = CompileMetrics(
            _fresh(metrics), _fresh(weighted_metrics), output_names=self.names
        )
        tensors = [
            None if spec is None else keras.KerasTensor(spec.shape, spec.dtype.name)
            for spec in map(self._labels(labels).get, self.names)
        ]
        try:
            batch = (
                structured(self.model, tensors),
                structured(self.model, known_outputs(self.model)),
            )
            compiled.build(*batch)
            # Some make their variables when they first see a batch.
            compute_output_spec(compiled.update_state, *batch)
            results = compiled.result()
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise HHError(
                f"the metrics do not fit the outputs ({', '.join(self.names)}) and "
                f"their labels: {reason}"
            ) from error
        for name, value in results.items():
            if len(value.shape):
                raise HHError(
                    f"metric {name!r} gives {tuple(value.shape)} numbers, a history "
                    "has room for one: take their mean, such as average='macro'."
                )
        self.names_of_results += results
        return compiled


class _Told(keras.metrics.Mean):
    """A mean that is NaN, not zero, as long as no example has told anything."""

    def result(self):
        return self.total / self.count


def _fresh(metrics: Any) -> Any:
    """Metrics like those given, that have seen nothing, in the strategy's scope."""
    return keras.tree.map_structure(_anew, metrics)


def _anew(metric):
    if not isinstance(metric, keras.metrics.Metric):
        return metric
    try:
        return type(metric).from_config(metric.get_config())
    except Exception as error:  # a class of a user's may have no config
        raise HHError(
            f"metric {metric.name!r} ({type(metric).__name__}) cannot be made anew "
            f"from its config ({type(error).__name__}: {str(error)[:100]}): give the "
            "class a get_config with all of its arguments."
        ) from error
