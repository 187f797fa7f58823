"""The ledger of one trace: ids, who made them, which are tied and which must stay."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from hh_keras.graph.ids import IdTensor, constant
from hh_keras.graph.values import Take, id_arrays


class Ledger:
    """Ids, who made them, ties and frozen channels."""

    def __init__(self) -> None:
        self.makers: list = []  # (path, the ids that it makes)
        self.size = 0
        self.ties: list = []
        self.frozen: list = []  # (ids, reason)
        self.reasons: list = []  # of the negative ids -1, -2, …
        self.fixed_ids: dict = {}  # (reason, position) blocks already given real ids
        self.vectors: dict = {}  # (id of an array, axis, size) → (it, its vector)
        self.factors: dict = {}  # id of a product → the ids that it is a product of
        self.products: dict = {}  # factors → their product
        self.split: list = []  # arrays of ids that were made as factors

    def fresh(self, n: int, path: str | None) -> np.ndarray:
        """Makes `n` ids for channels that the layer at `path` makes."""
        ids = np.arange(self.size, self.size + n)
        self.makers.append((path, ids))
        self.size += n
        return ids

    def factor(self, n: int) -> np.ndarray:
        """Makes ids for what stands along one axis of channels that have several."""
        ids = np.arange(self.size, self.size + n)
        self.split.append(ids)
        self.size += n
        return ids

    def product(self, vectors: Sequence) -> np.ndarray:
        """Ids of channels that are there as long as several others are, one of each.

        Args:
            vectors: id arrays `(n,)`, one for each axis of the result.

        Returns:
            Int array `(n, m, …)`; the same factors have the same product.
        """
        grids = np.meshgrid(*(self.own(v) for v in vectors), indexing="ij")
        return self.joint(grids)

    def joint(self, arrays: Sequence) -> np.ndarray:
        """The products of ids in the same places of arrays of one shape."""
        rows = np.stack(arrays, -1).reshape(-1, len(arrays)).tolist()
        found = []
        for ids in rows:
            key = tuple(
                dict.fromkeys(f for i in ids for f in self.factors.get(i, (i,)))
            )
            if key not in self.products:
                self.products[key] = self.size
                self.factors[self.size] = key
                self.size += 1
            found.append(self.products[key])
        return np.array(found).reshape(arrays[0].shape)

    def fixed(self, shape: tuple, reason: str) -> IdTensor:
        """A tensor of values that belong to no channel, with the reason."""
        if reason not in self.reasons:
            self.reasons.append(reason)
        return constant(-1 - self.reasons.index(reason), shape)

    def tie(self, a: np.ndarray, b: np.ndarray) -> None:
        """Says that channels leave together, elementwise over two id arrays."""
        a, b = np.ravel(a), np.ravel(b)
        if min(a.min(initial=0), b.min(initial=0)) == 0:
            self.ties.append((a, b))
            return
        loose_a, loose_b = a >= 0, b >= 0
        both = loose_a & loose_b & (a != b)
        if both.any():
            self.ties.append((a[both], b[both]))
        for mine, other in ((a, b), (b, a)):
            lone = (mine >= 0) & (other < 0)
            for code in np.unique(other[lone]):
                reason = f"combined with {self.reasons[-1 - code]}"
                self.frozen.append((mine[lone & (other == code)], reason))

    def tie_tensors(self, x: IdTensor, y: Any, path: str) -> None:
        """Says that two tensors stand in the same place, so have the same shape."""
        if x.rank == y.rank and x.ids.shape == y.ids.shape:
            self.tie(x.ids, y.ids)
        else:
            for each in (x, y):
                self.freeze(each.ids, f"{path}: called on other channels elsewhere")

    def tie_values(self, a: Any, b: Any, path: str) -> None:
        """The same of two nested values that hold id arrays."""
        if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
            if a.shape == b.shape:
                return self.tie(a, b)
        elif type(a) is type(b) and isinstance(a, (dict, list, tuple)):
            keys = [x.keys() if isinstance(x, dict) else range(len(x)) for x in (a, b)]
            if set(keys[0]) == set(keys[1]):
                for key in keys[0]:
                    self.tie_values(a[key], b[key], path)
                return None
        elif isinstance(a, Take) and isinstance(b, Take):
            return self.tie_values(a.ids, b.ids, path)
        for ids in (*id_arrays(a), *id_arrays(b)):
            self.freeze(ids, f"{path}: called on other channels elsewhere")
        return None

    def freeze(self, ids: np.ndarray, reason: str) -> None:
        """Says that channels must stay, and why."""
        ids = np.ravel(ids)
        if (ids >= 0).any():
            self.frozen.append((ids[ids >= 0], reason))

    def own(self, ids: np.ndarray) -> np.ndarray:
        """Gives values that no layer produces frozen ids of their own."""
        if (ids >= 0).all():
            return np.asarray(ids)
        ids = np.array(ids)
        for code in np.unique(ids[ids < 0]):
            places = ids == code
            count = int(places.sum())
            reason = self.reasons[-1 - code]
            block = self.fixed_ids.get(reason)
            if block is None or len(block) < count:
                block = self.fresh(count, None)
                self.frozen.append((block, reason))
                self.fixed_ids[reason] = block
            ids[places] = block[:count]
        return ids


def classes(book: Ledger) -> tuple[np.ndarray, dict]:
    """Returns the class of every id, and which classes are products of others.

    Tied ids are of one class. Products that are tied have their factors tied, one by
    one. What must stay is no factor: a product of one other factor is that factor.

    Returns:
        Int array `(size,)`, and class → the classes of its factors, two or more.
    """
    open_, labels = dict(book.factors), _components(book)
    while open_:
        ties = _settled(book, labels, open_) or _of_factors(labels, open_)
        if not ties:
            break
        book.ties += [(np.array([a]), np.array([b])) for a, b in ties if a != b]
        labels = _components(book)
    found = {int(labels[k]): _labels_of(labels, each) for k, each in open_.items()}
    return labels, {k: _flat(each, found) for k, each in found.items()}


def _components(book):
    if not book.ties:
        return np.arange(book.size)
    # Half of what the package would add to `import keras`.
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    a, b = (np.concatenate(side) for side in zip(*book.ties))
    edges = coo_matrix((np.ones(len(a)), (a, b)), shape=(book.size, book.size))
    return connected_components(edges, directed=False)[1]


def _labels_of(labels, ids):
    return tuple(dict.fromkeys(labels[list(ids)].tolist()))


def _flat(factors, products):
    """Factors that are products themselves, as theirs."""
    found: dict = {}
    for each in factors:
        nested = each in products and each not in products[each]
        found.update(
            dict.fromkeys(_flat(products[each], products) if nested else [each])
        )
    return tuple(found)


def _settled(book, labels, products):
    """Takes those products away that are none; returns what to tie instead.

    A frozen one freezes its factors; frozen factors do not count, nor do those of which
    all along an axis leave together.
    """
    why: dict = {}
    for ids, reason in reversed(book.frozen):
        why.update(dict.fromkeys(labels[ids].tolist(), reason))
    for ids in book.split:
        if len(set(labels[ids].tolist())) == 1 and labels[ids[0]] not in why:
            book.frozen.append((ids, "stay together"))
            why[int(labels[ids[0]])] = "stay together"
    ties = []
    for product, factors in list(products.items()):
        own = int(labels[product])
        loose = {f: k for k in reversed(factors) if (f := int(labels[k])) not in why}
        if own in why:
            book.frozen += [(np.array([k]), why[own]) for k in loose.values()]
            ties.append((product, product))
        elif not loose:
            reason = why[int(labels[factors[0]])]
            book.frozen.append((np.array([product]), reason))
            ties.append((product, product))
        elif len(loose) == 1:
            ties.append((product, *loose.values()))
        else:
            products[product] = tuple(k for k in factors if int(labels[k]) in loose)
            continue
        del products[product]
    return ties


def _of_factors(labels, products):
    """What to tie of the factors of products of one class."""
    first: dict = {}
    ties = []
    for product, b in products.items():
        a = first.setdefault(int(labels[product]), b)
        if len(a) == len(b):
            ties += [(x, y) for x, y in zip(a, b) if labels[x] != labels[y]]
        else:  # whatever they are products of, it leaves as a whole
            ties += [(a[0], x) for x in (*a, *b) if labels[x] != labels[a[0]]]
    return ties


def causes_of(book: Ledger, labels: np.ndarray) -> tuple:
    """Returns why each class is frozen, as an index into a list of reasons.

    The last of the reasons is None, for the classes that are not; where several
    would do, the first one counts.
    """
    reasons = list(dict.fromkeys(reason for _, reason in book.frozen))
    number = {reason: k for k, reason in enumerate(reasons)}
    causes = np.full(labels.max(initial=-1) + 1, len(reasons))
    for ids, reason in reversed(book.frozen):
        causes[labels[ids]] = number[reason]
    return causes, [*reasons, None]


def order_of(
    book: Ledger,
    id_arrays: Sequence,
    labels: np.ndarray,
    causes: np.ndarray,
    products: dict,
) -> tuple:
    """Numbers the classes so that each group is a run of consecutive integers.

    Classes are of one group if they stand equally often in every id array: then any
    count of them costs the same, whichever they are. Products stand behind all of them;
    classes that are in no array, or only in such as never change, get -1.

    Returns:
        Int array `(classes,)`, and where groups begin and the last one ends.
    """
    count = len(causes)
    random = np.random.default_rng(0)
    signatures = random.integers(1, 2**63, causes.max(initial=0) + 1, np.uint64)
    signatures = signatures[causes]
    codes = np.zeros(count, np.uint64)
    np.add.at(codes, labels, _codes(book, id_arrays, random))
    for product, factors in products.items():
        codes[list(factors)] += codes[product]
    free = np.ones(count, bool)
    if book.factors:
        free = _used(book, id_arrays, labels, products)
    first = np.empty(count, int)
    first[labels[::-1]] = np.arange(book.size)[::-1]  # the last that is set stays
    signatures, first = (signatures + codes)[free], first[free]
    group_of = _numbered(signatures)
    group_first = np.full(len(first), book.size)
    np.minimum.at(group_first, group_of, first)
    sequence = np.argsort(group_first[group_of] * book.size + first)
    order = np.full(count, -1)
    order[np.flatnonzero(free)[sequence]] = np.arange(len(first))
    order[list(products)] = len(first) + np.arange(len(products))
    starts = np.flatnonzero(
        np.diff(group_of[sequence], prepend=-1) if len(first) else np.zeros(0)
    )
    bounds = [*starts.tolist(), len(first)]
    return order, bounds


def _used(book, id_arrays, labels, products):
    """Classes that are channels: made, or in an array, or a factor; no products.

    Axes of factors that must stay are none: their size does not change.
    """
    count = labels.max(initial=-1) + 1
    made = np.zeros(count, bool)
    for _, ids in book.makers:
        made[labels[ids]] = True
    frozen = np.zeros(count, bool)
    for ids, _ in book.frozen:
        frozen[labels[ids]] = True
    size_only = frozen & ~made
    arrays = [labels[ids] for ids in id_arrays]
    mixed = True
    while mixed:
        mixed = [x for x in arrays if len(set(size_only[x].tolist())) > 1]
        for x in mixed:
            size_only[x] = False
    used = made
    for x in arrays:
        used[x] = True
    for factors in products.values():
        used[list(factors)] = True
    used[list(products)] = False
    return used & ~size_only


def _codes(book, id_arrays, random):
    """A number for each id, the sum of those of the arrays that it stands in."""
    made = {id(ids): ids for _, ids in book.makers}
    others = {id(ids): ids for ids in id_arrays if id(ids) not in made}
    codes = random.integers(1, 2**63, len(made) + len(others), dtype=np.uint64)
    sums = np.zeros(book.size + 1, np.uint64)
    # Nearly all arrays are what a layer made, a run of ids: its ends are enough.
    runs = [ids for ids in made.values() if len(ids)]
    np.add.at(sums, [ids[0] for ids in runs], codes[: len(runs)])
    np.subtract.at(sums, [ids[-1] + 1 for ids in runs], codes[: len(runs)])
    sums = np.cumsum(sums, dtype=np.uint64)[:-1]
    if others:
        codes = np.repeat(codes[len(made) :], [len(x) for x in others.values()])
        np.add.at(sums, np.concatenate(list(others.values())), codes)
    return sums


def _numbered(values):
    """Equal values get equal integers; made for long runs of equal values."""
    starts = np.flatnonzero(np.append(True, values[1:] != values[:-1])[: len(values)])
    numbers = np.unique(values[starts], return_inverse=True)[1]
    return np.repeat(numbers, np.diff(starts, append=len(values)))
