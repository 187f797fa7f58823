"""A plan: which channels of a model to keep. Plain data, JSON in and out."""

import dataclasses
import json
from typing import Any

import keras
import numpy as np

from hh_keras import files
from hh_keras.errors import PlanError
from hh_keras.graph.channels import ChannelMap
from hh_keras.graph.table import text_table
from hh_keras.graph.tracing import trace

FORMAT, VERSION = "hh_keras.plan", 1


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Plan:
    """Which channels of each group are kept.

    Attributes:
        sizes: group name → number of channels before.
        kept: group name → sorted tuple of positions within the group that are kept.
        notes: anything JSON can hold: how the plan was found.

    Examples:
        >>> len(plan.kept["conv_1"]), plan.keep.shape
        (14, (45,))
        >>> hh_keras.Plan.from_json(plan.to_json()) == plan
        True
        >>> print(plan.diff(model))
        layer   before  after  kept
        ------  ------  -----  ----
        conv_1      16     14   88%
        conv_2      16      6   38%
        logits      10     10  100%
    """

    sizes: dict
    kept: dict
    notes: dict = dataclasses.field(default_factory=dict)

    def __repr__(self):
        kept = sum(map(len, self.kept.values()))
        whole = sum(self.sizes.values())
        return f"Plan({kept:,} of {whole:,} channels of {len(self.sizes)} groups)"

    def __str__(self):
        return str(self._table())

    def _repr_html_(self) -> str:
        return self._table()._repr_html_()

    def _table(self):
        counts = [(name, n, len(self.kept[name])) for name, n in self.sizes.items()]
        rows = [(name, n, kept, f"{kept / n:.0%}") for name, n, kept in counts]
        return text_table(("group", "before", "after", "kept"), rows, (1, 2, 3))

    @classmethod
    def of(
        cls, channel_map: ChannelMap, keep: Any, notes: dict | None = None
    ) -> "Plan":
        """Makes a plan from `keep`, bool array `(channel_map.size,)`.

        Raises:
            PlanError: `keep` has the wrong length, or would empty a group or remove
                frozen channels.
        """
        keep = np.asarray(keep, bool)
        if keep.shape != (channel_map.size,):
            raise PlanError(
                f"keep has shape {keep.shape}, but model '{channel_map.model_name}' "
                f"has {channel_map.size} channels."
            )
        kept = {
            g.name: tuple(np.flatnonzero(keep[g.ids.start : g.ids.stop]).tolist())
            for g in channel_map.groups
        }
        sizes = {g.name: len(g) for g in channel_map.groups}
        plan = cls(sizes, kept, dict(notes or {}))
        plan.check(channel_map)
        return plan

    @property
    def keep(self) -> np.ndarray:
        """Bool array `(size,)`, True for channels that stay."""
        keep = np.zeros(sum(self.sizes.values()), bool)
        start = 0
        for name, size in self.sizes.items():
            keep[start + np.asarray(self.kept[name], int)] = True
            start += size
        return keep

    def __eq__(self, other):
        return (
            isinstance(other, Plan)
            and self.sizes == other.sizes
            and self.kept == other.kept
        )

    def check(self, channel_map: ChannelMap) -> None:
        """Raises PlanError, saying where, unless the plan fits the traced model."""
        model = f"model '{channel_map.model_name}'"
        theirs = {g.name: g for g in channel_map.groups}
        for name, group in theirs.items():
            if name not in self.sizes:
                raise PlanError(
                    f"the plan is for another model: {model} has a group "
                    f"'{name}' that the plan does not name."
                )
            if self.sizes[name] != len(group):
                raise PlanError(
                    f"the plan is for another model: group '{name}' has {len(group)} "
                    f"channels in {model}, {self.sizes[name]} in the plan. Pass the "
                    "model that was searched (the widened one, if it was widened)."
                )
            if not self.kept[name]:
                raise PlanError(f"the plan removes all channels of group '{name}'.")
            if group.frozen and len(self.kept[name]) < len(group):
                raise PlanError(
                    f"the plan removes channels of group '{name}' of {model}, "
                    f"which must stay: {group.frozen}."
                )
        extra = [name for name in self.sizes if name not in theirs]
        if extra:
            raise PlanError(
                f"the plan is for another model: {model} has no group '{extra[0]}'."
            )

    def keep_in(self, channel_map: ChannelMap) -> np.ndarray:
        """Bool array `(size,)` for a traced model, whatever the order of the groups.

        Raises:
            PlanError: the plan does not fit the model.
        """
        self.check(channel_map)
        order = [g.name for g in channel_map.groups]
        return dataclasses.replace(
            self, sizes={name: self.sizes[name] for name in order}
        ).keep

    def to_json(self) -> str:
        """Returns the plan as JSON text; equal plans give equal text."""
        groups = {
            name: {"size": size, "kept": list(self.kept[name])}
            for name, size in self.sizes.items()
        }
        data = {
            "format": FORMAT,
            "version": VERSION,
            "notes": self.notes,
            "groups": groups,
        }
        return json.dumps(data)

    @classmethod
    def from_json(cls, text: str, source: str = "plan") -> "Plan":
        """Reads a plan from JSON text.

        Raises:
            PlanError: the text is not a plan, or of a newer version.
        """
        try:
            data = json.loads(text)
            if data["format"] != FORMAT:
                raise KeyError("format")
            version = data["version"]
            if version == VERSION:
                sizes = {k: int(g["size"]) for k, g in data["groups"].items()}
                kept = {
                    k: tuple(sorted(int(i) for i in g["kept"]))
                    for k, g in data["groups"].items()
                }
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise PlanError(
                f"{source}: not a readable plan ({type(error).__name__}: {error}). "
                "Make it again with select_channels or launch/shrink.py."
            ) from error
        if version != VERSION:
            raise PlanError(
                f"{source}: plan version {version} is not known to this release, "
                f"which reads version {VERSION}. Upgrade hh_keras."
            )
        for name, positions in kept.items():
            distinct = set(positions)
            if len(distinct) < len(positions) or not distinct <= set(
                range(sizes[name])
            ):
                raise PlanError(
                    f"{source}: group '{name}' keeps channels that it does not have."
                )
        return cls(sizes, kept, data.get("notes") or {})

    def save(self, path: Any) -> None:
        """Writes the plan to a JSON file, whole or not at all.

        Raises:
            WorkdirError: the file cannot be written.
        """
        files.write(path, self.to_json())

    @classmethod
    def load(cls, path: Any) -> "Plan":
        """Reads a plan from a JSON file.

        Raises:
            PlanError: the file is missing or not a plan.
        """
        try:
            with open(path, encoding="utf-8") as file:
                text = file.read()
        except (OSError, UnicodeDecodeError) as error:
            raise PlanError(f"{path}: cannot be read as a plan ({error}).") from error
        return cls.from_json(text, str(path))

    def channels(self, model: keras.Model | ChannelMap) -> dict:
        """Layer name → (output channels before, after), for layers that make them.

        Behind a layer of attention come `name.num_heads` and such.
        """
        channel_map = model if isinstance(model, ChannelMap) else trace(model)
        keep = channel_map.whole(self.keep_in(channel_map))
        makers = {p: None for g in channel_map.groups for p in g.producers}
        found = {}
        for name, ids in channel_map.outputs.items():
            if name in makers:
                found[name] = (len(ids), int(keep[ids].sum()))
            for key, inner in channel_map.sites[name].inside_counts().items():
                found[f"{name}.{key}"] = (len(inner), int(keep[inner].sum()))
        return found

    def diff(self, model: keras.Model | ChannelMap) -> str:
        """A table of the channel counts of every layer, before and after.

        Of attention what is inside, too: heads, and the numbers of each.
        """
        rows = [
            (name, before, after, f"{after / before:.0%}")
            for name, (before, after) in self.channels(model).items()
        ]
        return text_table(("layer", "before", "after", "kept"), rows, (1, 2, 3))


def expect_plan(plan: Any) -> None:
    """Raises PlanError if it is no `Plan`."""
    if not isinstance(plan, Plan):
        what = f"{type(plan).__name__} {plan!r:.60}"
        raise PlanError(
            f"expected a hh_keras.Plan, got {what}; hh_keras.Plan.load(path) reads one "
            "from a file."
        )
