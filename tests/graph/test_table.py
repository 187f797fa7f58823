"""Tables are text on a screen, and tables in a notebook."""

import keras
import pytest
from keras import layers as L

import hh_keras
from hh_keras.graph.table import text_table


def test_text_and_markup_say_the_same():
    table = text_table(("layer", "MACs"), [("a<b>", 5), ("conv", 1200)], right=(1,))
    assert table == "layer  MACs\n-----  ----\na<b>      5\nconv   1200"
    markup = table.with_foot("5 < 6").splitlines()[-1], table._repr_html_()
    assert markup[0] == "5 < 6"
    assert "a&lt;b&gt;" in markup[1] and "a<b>" not in markup[1]
    assert markup[1].count('<td style="text-align: right">') == 2
    assert "<p>5 &lt; 6</p>" in table.with_foot("5 < 6")._repr_html_()


@pytest.mark.parametrize(
    "of",
    [
        hh_keras.trace,
        hh_keras.cost,
        lambda model: hh_keras.trace(model).explain(),
        lambda model: hh_keras.shrink(
            model,
            budget=hh_keras.Budget(params=600),
            width=1,
        ).plan.diff(model),
    ],
)
def test_notebooks_draw_what_the_screen_tells(of):
    image = keras.Input((8, 8, 3))
    x = L.Conv2D(8, 3, name="first")(image)
    model = keras.Model(image, L.Dense(2, name="last")(L.Flatten()(x)), name="mine")
    told = of(model)
    markup = told._repr_html_()
    rows = [line.split()[0] for line in str(told).splitlines()]
    assert all(f">{name}" in markup for name in ("first", "last"))
    assert {"first", "last"} <= set(rows) and markup.startswith("<table><thead><tr>")
