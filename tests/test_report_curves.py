"""Plots of a report: dots where a line shows nothing, no empty panels, texts that can be read."""

import pytest

from ganlab.reporting import coordinates
from test_report import grid, lines, made_run, made_sweep, run_report, write_rows

DOTS = """(name) => {
  const data = Bokeh.documents.map((one) => one.get_model_by_name(name)).find(Boolean)
    .renderers[1].data_source.data;
  return data.label.map((label, i) => [label, data.x[i], data.y[i]]);
}"""
SHOWN = "figure:not([hidden]) > figcaption"


def report_of(run):
    run_report(str(run))
    return run / "report.html"


@pytest.mark.long
@pytest.mark.parametrize(
    ("rows", "dots"),
    [(1, [["loss/d", 10, 1]]), (2, [["loss/d", 10, 1], ["loss/d", 20, 2]]), (9, [])],
)
def test_few_readings_have_dots(tmp_path, opened, rows, dots):
    run = made_run(tmp_path / "run")
    write_rows(run, rows, ("loss/d",))
    page = opened(report_of(run))
    assert len(lines(page, "curves:loss")["loss/d"][0]) == rows
    assert page.evaluate(DOTS, "curves:loss") == dots


@pytest.mark.long
def test_a_reading_between_gaps_has_a_dot(tmp_path, opened):
    run = made_run(tmp_path / "run")
    values = [1, 2, 3, "nan", 5, "inf", 7, 8]
    rows = [f"{10 * i},{640 * i},{i},{value}" for i, value in enumerate(values, 1)]
    text = "\n".join(["iterations,images_seen,seconds,loss/d", *rows])
    (run / "metrics.csv").write_text(text + "\n")
    page = opened(report_of(run))
    lines(page, "curves:loss")
    assert page.evaluate(DOTS, "curves:loss") == [["loss/d", 50, 5]]


@pytest.mark.long
def test_panels_without_readings_of_both_runs_are_hidden(tmp_path, opened):
    for name, column in (("a", "loss/d"), ("b", "loss/d"), ("c", "elbo"), ("d", "kl")):
        write_rows(made_run(tmp_path / name), 9, (column,))
    page = opened(report_of(tmp_path))
    panels = page.locator(f".plots {SHOWN}")
    assert panels.all_text_contents() == ["loss"]
    lines(page, "curves:loss")
    page.select_option("#side-0", "2")
    page.select_option("#side-1", "3")
    assert panels.all_text_contents() == ["elbo", "KL of classes"]
    assert set(lines(page, "curves:elbo")) == {"A elbo"}
    page.evaluate("dispatchEvent(new Event('beforeprint'))")  # draws what is left
    page.select_option("#side-0", "0")
    assert set(lines(page, "curves:loss")) == {"A loss/d"}
    assert panels.all_text_contents() == ["loss", "KL of classes"]


@pytest.mark.long
def test_readings_that_are_all_zero_are_drawn(tmp_path, opened):
    """A logarithmic axis has no place for them."""
    run = made_run(tmp_path / "run")
    rows = [f"{10 * i},{640 * i},{i},0" for i in range(1, 9)]
    text = "\n".join(["iterations,images_seen,seconds,grad_norm/d", *rows])
    (run / "metrics.csv").write_text(text + "\n")
    page = opened(report_of(run))
    assert lines(page, "curves:gradient norm")["grad_norm/d"][1] == [0] * 8


# Parallel coordinates ---------------------------------------------------------------------------


@pytest.mark.long
def test_texts_of_parallel_coordinates_are_inside_of_the_plot(tmp_path, opened):
    points = [
        ([f"model={'w' * 20}-{i}", f"g_optimizer.lr={i}", f"seed={i}"], {"score": i + 1.0})
        for i in range(4)
    ]
    sweep = made_sweep(tmp_path, points)
    page = opened(report_of(sweep), viewport={"width": 1280, "height": 900})
    page.locator("[aria-labelledby=parallel]").scroll_into_view_if_needed()
    page.locator("[aria-labelledby=parallel] canvas").first.wait_for()
    room, texts = page.evaluate(
        """() => {
          const all = Object.values(Bokeh.index.roots ?? Bokeh.index);
          const view = all.find((one) => one.model.name === "coordinates");
          const text = view.model.renderers.find((one) => one.name === "texts");
          const context = document.createElement("canvas").getContext("2d");
          context.font = `${text.glyph.text_font_size.value} sans-serif`;
          const { x, text: said } = text.data_source.data;
          const starts = said.map((one, i) =>
            view.frame.x_scale.compute(x[i]) - 9 - context.measureText(one).width);
          return [view.frame.bbox.left, starts];
        }"""
    )
    assert min(texts) >= room
    scroll = page.locator("[aria-label='Parallel coordinates']")
    assert scroll.evaluate("(one) => one.scrollWidth <= one.clientWidth")


def test_names_of_axes_are_broken_into_short_lines():
    name = "frechet/classifier-digits/10k"
    assert coordinates.wrapped(name) == "frechet/\nclassifier-\ndigits/10k"
    assert coordinates.wrapped("d_optimizer.decoupled_weight_decay").count("\n") == 2
    assert max(map(len, coordinates.wrapped("x" * 90).split("\n"))) <= coordinates.ACROSS
    assert coordinates.width(9) <= 1200, "nine axes fit into a page of 1280 pixels"


def test_texts_that_would_cover_others_are_left_out():
    axis = coordinates.Axis("x", "linear", 0, 1, [], {0.0: "0", 0.01: "0.01", 1.0: "1"})
    assert coordinates.texts_of([axis]) == {"x": [0, 0], "y": [0.0, 1.0], "text": ["0", "1"]}


@pytest.mark.long
def test_texts_follow_the_theme(tmp_path, opened):
    page = opened(report_of(made_sweep(tmp_path, grid())), color_scheme="dark")
    page.locator("[aria-labelledby=parallel]").scroll_into_view_if_needed()
    page.locator("[aria-labelledby=parallel] canvas").first.wait_for()
    colour = """() => Bokeh.documents.map((one) => one.get_model_by_name("texts")).find(Boolean)
      ?.glyph.text_color.value"""
    page.wait_for_function(colour)
    before = page.evaluate(colour)
    page.click("#theme")
    assert page.evaluate(colour) != before
