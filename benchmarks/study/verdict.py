"""What the pairs that took no part say of a law: accuracy, cost and time beside."""

import numpy as np

from study.summary import differences_of, gain, in_order, interval

_HEADER = (
    "| pair | original | law | to random | balanced | gradient | MACs | params "
    "| time | int8 time |\n|---|---|---|---|---|---|---|---|---|---|"
)


def verdict(rows, times):
    """A table of pairs, and on how many of them the law is what it was to be.

    Args:
        rows: results of one study whose `run` is a `Run`, at the original's cost; kinds
            original, law and random, and lwdna (balanced and one more).
        times: rows of times by the runs' keys, see `times.execute`; those of one law
            hold for every seed, as its counts do.
    """
    lines, full, ahead, sure, cheap = [], 0, 0, 0, 0
    for pair in in_order(row["run"].pair for row in rows):
        here = [row for row in rows if row["run"].pair == pair]
        law = [row for row in here if row["run"].kind == "law"]
        gained = differences_of(law, here, "original")
        beyond = differences_of(law, here, "random")
        macs, params = (
            max((r[k] / r["original"][k] for r in law), default=np.nan)
            for k in ("macs", "params")
        )
        timed = [times[row["key"]] for row in law if row["key"] in times]
        spent = [
            np.mean([row[kind] for row in timed]) if timed else np.nan
            for kind in ("float32", "int8")
        ]
        own = [row["accuracy"] for row in here if row["run"].kind == "original"]
        cells = [pair, f"{np.mean(own):.2%}", gain(gained), gain(beyond)]
        cells += [
            gain(differences_of(_found(here, b), here, "original")) for b in (1, 0)
        ]
        cells += [f"{value:.3f}" for value in (macs, params, *spent)]
        lines.append(f"| {' | '.join(cells)} |")
        if min(len(gained), len(beyond)) > 2:
            full += 1
            ahead += min(gained.mean(), beyond.mean()) > 0
            sure += interval(gained)[0] > 0
            cheap += np.max([macs, params, spent[0]]) <= 1  # not if untimed
    told = (
        f"Of {full} pairs with three seeds or more: ahead of the original and of "
        f"random counts in the mean on {ahead}, the interval to the original above "
        f"zero on {sure}, at most the original's MACs, parameters and float32 time "
        f"on {cheap}."
    )
    return "\n".join(["## Verdict\n", _HEADER, *lines, "", told])


def _found(rows, balanced):
    """Rows of searched counts: the balanced ones, or all others."""
    own = [row for row in rows if row["run"].kind == "lwdna"]
    return [r for r in own if (r["run"].search.criterion == "balanced") == balanced]
