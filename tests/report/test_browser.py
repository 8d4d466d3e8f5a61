"""Pages opened in Chromium: nothing is loaded, nothing overflows, dark, print and phone."""

import pytest
from browser import CHROMIUM, Browser
from networks import world_model
from sample_kept import kept, search, verification_of_everything
from sample_run import sample
from test_reports import BARE

from secateur.prune.analyse import analyse
from secateur.report.compare import render_comparison
from secateur.report.html import render_html
from secateur.report.structure import describe
from secateur.report.structure_html import render_structure

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")

PAGES = {
    "full": lambda: render_html(sample(search=search()), kept()),
    "verified": lambda: render_html(sample(), kept(verification=verification_of_everything())),
    "bare": lambda: render_html(sample(**BARE)),
    "inspect": lambda: render_structure(describe(world_model(), analyse(world_model()))),
    "compared": lambda: render_comparison({"a": sample(), "a-longer-name": sample(**BARE)}),
}
OVERFLOWING = """
[...document.querySelectorAll('body *')].filter(e => e.getBoundingClientRect().right > innerWidth + 1
  && !e.closest('.scroll, .picture, .skip, svg')).map(e => e.outerHTML.slice(0, 80))
"""
HIDDEN = """
[...document.querySelectorAll('details table')].filter(e => e.getBoundingClientRect().height === 0).length
"""


@pytest.fixture(scope="module")
def browser():
    with Browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    for name, render in PAGES.items():
        (folder / f"{name}.html").write_text(render(), encoding="utf-8")
    return folder


@pytest.mark.parametrize("name", PAGES)
def test_a_page_opens_alone_on_a_desk_and_on_a_phone(browser, pages, name):
    browser.errors.clear()
    browser.requests.clear()
    page = pages / f"{name}.html"
    for width in (1280, 390):
        browser.open(page, width)
        assert browser.evaluate("document.documentElement.scrollWidth") <= width
        assert browser.evaluate(OVERFLOWING) == []
    assert browser.errors == []
    others = [url for url in browser.requests if url != page.resolve().as_uri()[:80]]
    assert all(url.startswith("data:") for url in others)
    assert browser.evaluate("document.scripts.length") == 0


CONTRAST = """
(() => {
  const seen = text => { const n = text.match(/[\\d.]+/g).map(Number); return n.length > 3 && n[3] === 0 ? null : n; };
  const light = ([r, g, b]) => [r, g, b].map(c => c / 255)
    .map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = e => { for (; e; e = e.parentElement) {
    const c = seen(getComputedStyle(e).backgroundColor); if (c) return c; } return [255, 255, 255]; };
  return [...document.querySelectorAll('body *')].filter(e => e.offsetParent !== undefined || e.closest('svg'))
    .filter(e => [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()))
    .filter(e => !['title', 'desc', 'STYLE'].includes(e.tagName))
    .map(e => { const style = getComputedStyle(e), ink = seen(e.closest('svg') ? style.fill : style.color);
      const [a, b] = [light(ink || [0, 0, 0]), light(ground(e))].sort((x, y) => y - x);
      return [(a + 0.05) / (b + 0.05), e.outerHTML.slice(0, 60)]; })
    .filter(([ratio]) => ratio < 4.5);
})()
"""


@pytest.mark.parametrize("name", PAGES)
def test_a_page_has_a_light_and_a_dark_side_and_prints_whole(browser, pages, name):
    ground = "getComputedStyle(document.body).backgroundColor"
    grounds = []
    for scheme in ("light", "dark"):
        browser.open(pages / f"{name}.html", scheme=scheme)
        grounds.append(browser.evaluate(ground))
        assert browser.evaluate(CONTRAST) == []  # WCAG 2.1, 1.4.3: 4.5 to 1
    assert len(set(grounds)) == 2
    browser.open(pages / f"{name}.html", scheme="dark", media="print")
    assert browser.evaluate(ground) == "rgb(255, 255, 255)"
    assert browser.evaluate(HIDDEN) == 0


def test_a_page_prints(browser, pages):
    browser.open(pages / "full.html")
    assert browser.pdf().startswith(b"%PDF")


def test_every_drawing_and_picture_is_named(browser, pages):
    browser.open(pages / "full.html")
    unnamed = """[...document.querySelectorAll('svg')].filter(e => !e.querySelector(':scope > title')).length
      + [...document.querySelectorAll('img')].filter(e => !e.alt).length
      + [...document.querySelectorAll('section')].filter(e => !e.getAttribute('aria-label')
        && !document.getElementById(e.getAttribute('aria-labelledby'))).length"""
    assert browser.evaluate(unnamed) == 0
    dangling = """[...document.querySelectorAll('a[href^="#"]')]
      .filter(e => !document.querySelector(e.getAttribute('href'))).length"""
    assert browser.evaluate(dangling) == 0
    assert browser.evaluate("document.querySelectorAll('main, header, nav, footer').length") == 4
