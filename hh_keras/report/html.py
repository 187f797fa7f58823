"""The report: one HTML file that needs nothing but itself, and the pictures."""

import base64
import html
import pathlib
from collections.abc import Mapping, Sequence

from hh_keras import files
from hh_keras.goal import Goal
from hh_keras.report import numbers
from hh_keras.report.channels import channels_finding, plot_channels
from hh_keras.report.comparison import caution, compare, verdict
from hh_keras.report.cost import cost_finding, plot_cost
from hh_keras.report.curves import plot_curves
from hh_keras.report.kept import kept_caption, plot_kept
from hh_keras.report.numbers import DASH
from hh_keras.report.slower import cause, slowest
from hh_keras.report.style import Picture, png
from hh_keras.report.summary import plot_summary
from hh_keras.report.sweep import plot_sweep, sweep_finding

_STYLE = """
:root{color-scheme:light dark;--ink:#1c2733;--soft:#5c6b7a;--line:#d5dce3;--back:#fff;
--box:#f4f6f8;--orange:#b85300}
@media(prefers-color-scheme:dark){:root{--ink:#e4e9ee;--soft:#9fadba;--line:#39434d;
--back:#14181d;--box:#1e242b;--orange:#ff9a45}}
body{max-width:62rem;margin:0 auto;padding:1rem;background:var(--back);
color:var(--ink);font:16px/1.5 system-ui,sans-serif;overflow-wrap:anywhere}
h1{font-size:1.6rem;line-height:1.2}h2{font-size:1.2rem;margin:2rem 0 .5rem}
.verdict{font-size:1.2rem;font-weight:600;margin:.5rem 0}
.note,figcaption{color:var(--soft);font-size:.9rem}
.wide{overflow-x:auto}.wide img{width:100%;min-width:38rem;border-radius:6px;
background:#fff}
figure{margin:1rem 0}
table{border-collapse:collapse;width:100%;font-size:.92rem}
th,td{padding:.3rem .6rem;text-align:left;border-bottom:1px solid var(--line);
vertical-align:top;overflow-wrap:normal}
table.figures td:not(:first-child),table.figures th:not(:first-child){text-align:right;
white-space:nowrap;font-variant-numeric:tabular-nums}
table.facts td:first-child{color:var(--soft);width:12rem}
table.facts td{overflow-wrap:anywhere}
.slim{color:var(--orange)}
pre{background:var(--box);padding:.7rem;border-radius:6px;white-space:pre-wrap}
summary{cursor:pointer;font-weight:600}
"""


def write_report(
    workdir: str | pathlib.Path,
    results: Mapping,
    goal: Goal,
    pictures: Sequence[Picture] = (),
) -> pathlib.Path:
    """Writes `report.html` and `pictures/*.png` into a work directory.

    All is made before the first file is touched, and each file is replaced in one
    step, the report last.

    Args:
        workdir: the folder; made if it is not there.
        results: dict, see `hh_keras.report`.
        goal: the task's.
        pictures: the task's own.

    Returns:
        The `pathlib.Path` of the report.

    Raises:
        WorkdirError: a file cannot be written; the message names it.

    Examples:
        >>> path = hh_keras.report.write_report("run", results, goal)
        >>> path.name, sorted(file.name for file in path.parent.glob("pictures/*"))
        ('report.html', ['channels.png', 'cost.png', 'curves.png', 'summary.png'])
    """
    workdir, models = pathlib.Path(workdir), results["models"]
    pictures = [*_inherited(results, goal), *pictures]
    figures = {
        "summary": plot_summary(models, goal, results.get("title") or ""),
        "channels": plot_channels(models),
        "cost": plot_cost(models),
        "curves": plot_curves(results.get("history") or {}, goal),
        **{picture.name: picture.figure for picture in pictures},
    }
    images = {name: png(figure) for name, figure in figures.items()}
    page = render(results, goal, images, pictures)
    for name, content in images.items():
        files.write(workdir / "pictures" / f"{name}.png", content)
    files.write(workdir / "report.html", page)
    return workdir / "report.html"


def render(
    results: Mapping,
    goal: Goal,
    images: Mapping[str, bytes],
    pictures: Sequence[Picture] = (),
) -> str:
    """Makes the text of the page.

    Args:
        results, goal, pictures: as for `write_report`.
        images: PNG bytes of "summary", "channels", "cost", "curves", and of the
            pictures by their names.

    Examples:
        >>> names = ("summary", "channels", "cost", "curves")
        >>> drawn = hh_keras.report.png(hh_keras.report.plot_cost(networks))
        >>> page = hh_keras.report.render(results, goal, dict.fromkeys(names, drawn))
        >>> page.startswith("<!DOCTYPE html>")
        True
    """
    models, title = results["models"], results.get("title") or "hh_keras report"
    captions = {
        "summary": f"{channels_finding(models)}. Wide bars or area: the "
        "original; narrow bars or line: LW-DNA.",
        "channels": "Layers in network order; above each, by how many percent its "
        "channels changed. Rows have scales of their own.",
        "cost": f"{cost_finding(models)}. Layers without MACs, such as normalization, "
        "are left out.",
        "curves": "Solid: validation images; dashed: training images. "
        + _trained_alike(results),
    }
    figure = {name: _figure(images[name], captions[name]) for name in captions}
    own = [
        f"<h2>{_text(each.title)}</h2>" + _figure(images[each.name], each.caption)
        for each in pictures
    ]
    return "\n".join(
        [
            '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width,initial-scale=1">',
            f"<title>{_text(title)}</title><style>{_STYLE}</style></head><body>",
            f"<h1>{_text(title)}</h1>",
            f'<p class="verdict">{_text(verdict(models, goal))}</p>',
            _cause(results),
            f'<p class="note">{_text(caution(results))}</p>',
            figure["summary"],
            *own,
            "<h2>Comparison</h2>",
            _comparison(models, goal),
            f'<p class="note">{_text(goal.about)}</p>',
            "<h2>Channels</h2>" + figure["channels"],
            "<h2>Cost</h2>" + figure["cost"],
            _layer_table(models, results.get("kept")),
            _layer_times(results.get("layer_times")),
            "<h2>Training</h2>" + figure["curves"],
            _facts(results.get("protocol")),
            "<h2>Search</h2>" + _facts(results.get("search")),
            _budget(results),
            "<h2>Data</h2>" + _facts(_dataset(results.get("dataset"))),
            "<h2>Exported files against their models</h2>" + _parity(results, goal),
            "<h2>To reproduce</h2>",
            f"<pre>{_text(results.get('command'))}</pre>",
            _facts(results.get("versions")),
            "<h2>Time</h2>" + _times(results.get("seconds")),
            "</body></html>\n",
        ]
    )


def _inherited(results, goal):
    """Pictures of what inherited weights keep, where it is known."""
    kept, rows = results.get("kept"), results.get("sweep")
    pictures = []
    if kept and kept.get("layers"):
        pictures.append(
            Picture("kept", "Before training", kept_caption(kept), plot_kept(kept))
        )
    if rows:
        caption = (
            f"{sweep_finding(rows)}. Networks of several sizes are in sweep/: choose "
            "one where the curve bends."
        )
        picture = plot_sweep(rows, goal)
        pictures.append(Picture("sweep", "Sizes to choose from", caption, picture))
    return pictures


def _text(value):
    """Any value as escaped text."""
    return html.escape(_plain(value))


def _plain(value):
    if value is None or value == "" or value == {} or value == []:
        return DASH
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_plain(each)}" for key, each in value.items())
    if isinstance(value, (list, tuple)):
        more = f", … ({len(value)} in all)" if len(value) > 20 else ""
        return ", ".join(map(_plain, value[:20])) + more
    return str(value)


def _figure(png, caption):
    data, text = base64.b64encode(png).decode("ascii"), _text(caption)
    return (
        f'<figure><div class="wide"><img alt="{text}" '
        f'src="data:image/png;base64,{data}"></div>'
        f"<figcaption>{text}</figcaption></figure>"
    )


def _table(head, rows, kind="figures"):
    """A table; every cell is escaped."""
    top = "".join(f"<th>{_text(cell) if cell else ''}</th>" for cell in head)
    body = "".join(
        "<tr>" + "".join(f"<td>{_text(cell)}</td>" for cell in row) + "</tr>\n"
        for row in rows
    )
    top = f"<thead><tr>{top}</tr></thead>" if head else ""
    return (
        f'<div class="wide"><table class="{kind}">{top}'
        f"<tbody>\n{body}</tbody></table></div>"
    )


def _facts(mapping):
    rows = [(key.replace("_", " "), value) for key, value in (mapping or {}).items()]
    return _table((), rows, "facts") if rows else f"<p>{DASH}</p>"


def _trained_alike(results):
    """How the trainings compare, if there were two."""
    if all((results.get("history") or {}).get(name) for name in ("original", "lw_dna")):
        return "Both networks saw the same batches under the same protocol."
    return "LW-DNA alone was trained; the original, trained before, was its teacher."


def _comparison(models, goal):
    rows = [(r.label, r.original, r.lw_dna, r.change) for r in compare(models, goal)]
    return _table(("", "original", "LW-DNA", "change"), rows)


def _layer_table(models, kept):
    """Every layer with weights or MACs, folded away."""
    shares = (kept or {}).get("layers") or {}
    tables = [
        {layer["name"]: layer for layer in models[name]["layers"]}
        for name in ("original", "lw_dna")
    ]
    counts = [models[name]["channels"] for name in ("original", "lw_dna")]
    rows = []
    for name in dict.fromkeys(name for table in tables for name in table):
        pair = [table.get(name, {}) for table in tables]
        rows.append(
            (
                name,
                pair[0].get("type") or pair[1].get("type"),
                *(numbers.whole(each.get(name)) for each in counts),
                *(numbers.whole(layer.get("macs")) for layer in pair),
                *(numbers.whole(layer.get("params")) for layer in pair),
                *([numbers.percent(shares.get(name))] if shares else []),
            )
        )
    head = ["layer", "type"]
    for quantity in ("channels", "MACs", "parameters"):
        head += [f"{quantity} before", "after"]
    head += ["output kept"] if shares else []
    table = _table(head, rows)
    return f"<details><summary>All {len(rows)} layers</summary>{table}</details>"


def _cause(results):
    text = cause(results)
    return f"<p>{_text(text)}</p>" if text else ""


def _layer_times(layers):
    """The layers whose measured time changed most; nothing where none was measured."""
    if not layers:
        return ""
    head = ("layer", "before", "after", "channels in", "channels out")
    note = (
        "Layers whose counts changed, each run alone by LiteRT with one thread, with "
        "what it fuses into them. Those whose time changed most come first."
    )
    table = _table(head, slowest(layers))
    return f'<h2>Time of layers</h2>{table}<p class="note">{note}</p>'


def _budget(results):
    """What was allowed, and how much of it LW-DNA uses."""
    budget, slim = results.get("budget") or {}, results["models"]["lw_dna"]
    rows = []
    for key, label in (("macs", "MACs"), ("params", "parameters")):
        limit = budget.get(key)
        used = slim[key] / limit if numbers.known(limit) and limit else None
        rows.append(
            (
                label,
                budget.get(f"{key}_flag"),
                numbers.whole(limit),
                numbers.whole(slim[key]),
                numbers.percent(used),
            )
        )
    return _table(("budget", "given as", "limit", "LW-DNA", "share used"), rows)


def _dataset(dataset):
    """The data's facts with the shape of the images as one word."""
    facts = dict(dataset or {})
    facts = {"name": facts.pop("name", None), **facts} if facts else facts
    for key in ("image_shape", "tflite_tile"):
        if facts.get(key):
            one = not isinstance(facts[key][0], (list, tuple))
            shapes = [facts[key]] if one else facts[key]
            facts[key] = " and ".join(" × ".join(map(str, each)) for each in shapes)
    for key in ("num_train", "num_validation"):
        if key in facts:
            facts[key] = numbers.whole(facts[key])
    return {
        {"num_train": "training images", "num_validation": "validation images"}.get(
            key, key
        ): value
        for key, value in facts.items()
    }


def _parity(results, goal):
    rows = []
    for key, network in (("parity_original", "original"), ("parity", "LW-DNA")):
        for kind, found in (results.get(key) or {}).items():
            rows.append(
                (
                    f"{network}, {kind.replace('_', ' ')}",
                    numbers.small(found.get("max_abs")),
                    numbers.small(found.get("mean_abs")),
                    numbers.small(found.get("relative")),
                    numbers.percent(found.get("top1_agreement")),
                    numbers.whole(found.get("examples")),
                )
            )
    head = ("file", "largest difference", "mean", "largest / spread of outputs")
    head += ("same top class", goal.examples)
    if not goal.classes:
        head, rows = (*head[:4], head[5]), [(*row[:4], row[5]) for row in rows]
    return _table(head, rows) if rows else f"<p>{DASH}</p>"


def _times(seconds):
    return _facts({k: numbers.duration(v) for k, v in (seconds or {}).items()})
