"""The page of `explore` in a browser, used with mouse and keyboard."""

import json

import numpy as np
import pytest

import tfgumbel as tg

pytestmark = pytest.mark.slow

PICTURES = ("samples", "simplex", "histogram", "bias", "variance")


@pytest.fixture(autouse=True)
def fresh(page):
    """The page as it opens; no test may leave a complaint."""
    page.resize(1280, 900)
    page.click("#reset")
    yield
    assert page.complaints() == []
    assert all(url.startswith("file:") for url in page.requests())


def picture(page, name):
    if name == "simplex":
        return page.evaluate("document.getElementById('simplex').toDataURL()")
    return page.evaluate(f"document.getElementById('{name}').innerHTML")


def pictures(page):
    return {name: picture(page, name) for name in PICTURES}


def changed(before, after):
    return {name for name in PICTURES if before[name] != after[name]}


def bars(page, what):
    """Heights of the drawn bars, in units of the axis, and their values."""
    rows = page.evaluate(
        f"[...document.querySelectorAll('#histogram [data-what={what}]')]"
        ".map(b => [b.dataset.value, b.getAttribute('height')].map(Number))"
    )
    values, heights = np.array(rows).T
    return values, heights


def expected_bars(page):
    """Mean weights and frequencies of the page's noise, by the package."""
    state = page.evaluate("({...state, shown: null})")
    p = np.array(state["probabilities"])
    noise = page.evaluate(f"gumbelNoise({state['seed']}, COUNT, {len(p)})")
    logits = np.tile(np.log(p), [len(noise), 1])
    y = tg.ops.gumbel_softmax(
        logits, noise, temperature=state["temperature"]
    ).numpy()
    frequencies = np.bincount(y.argmax(-1), minlength=len(p)) / len(y)
    return y.mean(0), frequencies


def check_histogram(page):
    means, frequencies = expected_bars(page)
    for what, expected in (("mean", means), ("argmax", frequencies)):
        values, heights = bars(page, what)
        np.testing.assert_allclose(values, expected, atol=1e-9)
        drawn = heights / heights.sum()
        np.testing.assert_allclose(drawn, expected, atol=0.004)


def test_the_slider_changes_the_samples(page):
    before = pictures(page)
    check_histogram(page)
    frequencies, means = bars(page, "argmax")[0], bars(page, "mean")[0]
    page.press("#temperature", "ArrowRight", times=60)
    assert page.evaluate("state.temperature") > 1.5
    assert changed(before, pictures(page)) == set(PICTURES)
    check_histogram(page)
    assert (bars(page, "argmax")[0] == frequencies).all()
    assert abs(bars(page, "mean")[0] - means).max() > 0.05
    shown = page.evaluate("element('temperature-value').textContent")
    assert float(shown) == pytest.approx(
        page.evaluate("state.temperature"), 0.01
    )


def test_a_probability_changes_everything(page):
    before = pictures(page)
    page.press("#p2", "ArrowRight", times=30)
    p = page.evaluate("state.probabilities")
    assert p[2] == pytest.approx(0.5) and sum(p) == pytest.approx(1)
    assert changed(before, pictures(page)) == set(PICTURES)
    check_histogram(page)
    page.click("#even")
    assert page.evaluate("state.probabilities") == pytest.approx([1 / 3] * 3)
    check_histogram(page)


def test_resampling_is_reproducible(page):
    before = pictures(page)
    page.click("#resample")
    assert page.evaluate("element('seed').value") == "2"
    second = pictures(page)
    # Bias and variance are those of the distribution, not of a sample.
    assert changed(before, second) == {"samples", "simplex", "histogram"}
    check_histogram(page)
    page.click("#resample")
    assert changed(second, pictures(page)) == {
        *("samples", "simplex", "histogram")
    }
    page.choose("#seed", "1")
    assert pictures(page) == before
    page.choose("#seed", "-3")
    assert pictures(page) == before


def test_every_number_of_classes(page):
    for classes in (2, 4, 5, 6, 3):
        before = pictures(page)
        page.choose("#classes", str(classes))
        assert changed(before, pictures(page)) == set(PICTURES)
        check_histogram(page)
        sliders = "document.querySelectorAll('#probabilities input').length"
        assert page.evaluate(sliders) == classes
        note = page.evaluate("element('simplex-note').textContent")
        assert ("density" in note) == (classes <= 3)


def table(page):
    rows = page.evaluate(
        "[...element('estimators').rows].map(row => [row.dataset.name, "
        "[...row.cells].slice(1).map(cell => Number(cell.textContent))])"
    )
    return dict(rows)


def test_every_cost_and_every_estimator(page):
    costs = page.evaluate("Object.keys(COSTS)")
    names = page.evaluate("Object.keys(ESTIMATORS)")
    for name in names:
        if not page.evaluate(f"state.shown.has('{name}')"):
            page.click(f"tr[data-name={name}] input")
    for cost in costs:
        before = pictures(page)
        if cost == page.evaluate("state.cost"):
            before["bias"] = before["variance"] = None
        page.choose("#cost", cost)
        assert changed(before, pictures(page)) == {"bias", "variance"}
        formula = page.evaluate("element('formula').textContent")
        assert formula == page.evaluate(f"COSTS.{cost}.formula")
        for plot in ("bias", "variance"):
            curves = page.evaluate(
                f"[...document.querySelectorAll('#{plot} polyline')].map("
                "c => [c.dataset.name, c.getAttribute('points')])"
            )
            assert [name for name, _ in curves] == names
            assert "NaN" not in json.dumps(curves)
        numbers = table(page)
        assert set(numbers) == set(names)
        for name in ("reinforce", "rloo", "muprop", "nvil", "vimco"):
            assert numbers[name][0] == 0
        for bias, variance, rms in numbers.values():
            assert rms == pytest.approx((bias**2 + variance) ** 0.5, rel=0.01)
    page.click("tr[data-name=st] input")
    curves = "document.querySelectorAll('#bias polyline').length"
    assert page.evaluate(curves) == len(names) - 1


def test_second_order_estimators_are_exact_for_a_quadratic_at_one(page):
    page.evaluate("state.temperature = 1; redraw()")
    page.settle()
    numbers = table(page)
    assert numbers["reinmax"][0] == numbers["zgr"][0] == 0
    assert numbers["mve"][0] < 1e-6 and numbers["mve"][1] < numbers["zgr"][1]
    assert numbers["st"][0] > 0.01
    page.choose("#cost", "linear")
    assert table(page)["st"][:2] == [0, 0]


@pytest.mark.parametrize("width", [320, 420, 800, 1280])
def test_the_page_fits_its_window(page, width):
    page.resize(width, 700)
    page.click("summary")
    wide = page.evaluate("document.documentElement.scrollWidth")
    outside = page.evaluate(
        "[...document.querySelectorAll('svg, canvas, table, p, input')]"
        ".filter(e => e.getBoundingClientRect().right > innerWidth)"
        ".map(e => e.outerHTML.slice(0, 80))"
    )
    page.click("summary")
    assert wide == width and outside == []


def test_dark_colours(page):
    def colour():
        return page.evaluate("getComputedStyle(document.body).color")

    light, simplex = colour(), picture(page, "simplex")
    page.resize(1280, 900, dark=True)
    assert colour() != light
    assert picture(page, "simplex") != simplex


def test_every_control_has_a_name(page):
    nodes = page.send("Accessibility.getFullAXTree")["nodes"]
    roles = {"slider", "combobox", "spinbutton", "checkbox", "button", "image"}
    named = [
        (node["role"]["value"], node["name"].get("value"))
        for node in nodes
        if not node["ignored"] and node["role"]["value"] in roles
    ]
    assert {role for role, _ in named} == roles
    assert all(name for _, name in named), named
