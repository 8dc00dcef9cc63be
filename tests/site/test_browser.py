"""The site as a reader meets it: a real browser, keyboard included."""

import pytest

from tests.site.test_pages import CHAPTERS

pytestmark = [pytest.mark.browser, pytest.mark.slow]

TOP = ["intro", "notation", "glossary", "references", "instructors", "contributing", "search", "api/index", "api/images", "api/superres", "api/cli"]
TOP_PAGES = [f"{name}.html" for name in TOP]
CHAPTER_PAGES = [f"chapters/{slug}.html" for slug in CHAPTERS]


@pytest.mark.parametrize("where", TOP_PAGES + CHAPTER_PAGES)
def test_a_page_asks_no_other_host_and_logs_no_error(page, where):
    page.goto(f"/{where}", wait_until="networkidle")
    page.wait_for_timeout(700)  # quizzes look for MathJax half a second after they are drawn
    assert page.watch.trouble == []
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 844})
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 1, f"the page is wider than a screen of {width} pixels"


LEFT_OVER = """() => {
    const walk = document.createTreeWalker(document.querySelector('article'), NodeFilter.SHOW_TEXT), bad = [];
    while (walk.nextNode()) {
        const n = walk.currentNode;
        if (n.parentElement.closest('pre, code, script, style, mjx-container, .MathJax')) continue;
        if (/\\$|\\\\[(\\[a-z]|\\|\\s*:?--|\\{\\{|^\\s*:::|```/.test(n.data)) bad.push(n.data.trim().slice(0, 120));
    }
    return bad;
}"""


@pytest.mark.parametrize("where", [p for p in TOP_PAGES if p != "search.html"] + CHAPTER_PAGES)
def test_no_markup_is_left_for_the_reader(page, where):
    """Formulas, tables and directives that were not understood stay on the page as dollars, pipes and colons."""
    page.goto(f"/{where}", wait_until="networkidle")
    page.evaluate("window.MathJax?.startup?.promise")
    page.wait_for_timeout(300)
    assert page.evaluate(LEFT_OVER) == []
    assert page.locator("mjx-merror, .MathJax_Error").count() == 0
    assert page.locator("article .problematic, article .system-message").count() == 0


CUT_OFF = """() => [...document.querySelectorAll('div.math')].filter(d => {
    const m = d.querySelector('mjx-math');
    return m && m.getBoundingClientRect().left < d.getBoundingClientRect().left - 1;
}).map(d => d.innerText.slice(0, 80))"""


@pytest.mark.parametrize("where", CHAPTER_PAGES)
def test_a_wide_formula_begins_on_the_page(page, where):
    """One that is wider than the column is read by scrolling; what is cut off on the left could not be reached at all."""
    page.goto(f"/{where}", wait_until="networkidle")
    page.evaluate("window.MathJax?.startup?.promise")
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 844})
        page.wait_for_timeout(300)
        assert page.evaluate(CUT_OFF) == [], f"on a screen of {width} pixels"


def test_a_formula_that_is_cut_off_would_be_seen(page):
    page.goto("/chapters/swiss-roll.html", wait_until="networkidle")
    page.evaluate("window.MathJax?.startup?.promise")
    page.set_viewport_size({"width": 390, "height": 844})
    page.add_style_tag(content=".bd-article div.math { display: flex !important; overflow: hidden !important; flex-direction: column; align-items: end; }")
    page.wait_for_timeout(300)
    assert page.evaluate(CUT_OFF)


def test_left_over_markup_would_be_seen(page):
    page.goto("/intro.html")
    for text in ("so $x$ is", "| a | b | |---|---|", r"\\(x\\)", "::: note", r"\\alpha"):
        page.evaluate("t => { document.querySelector('article p').textContent = t; }", text)
        assert page.evaluate(LEFT_OVER), text


def test_watch_sees_trouble(page):
    page.goto("/intro.html")
    page.evaluate("console.error('on purpose')")
    page.evaluate("fetch('/nothing-here').then(() => 0)")
    page.evaluate("fetch('/intro.html', {method: 'POST'}).then(() => 0)")
    page.wait_for_timeout(200)
    assert {t.split(":")[0] for t in page.watch.trouble} >= {"console", "404", "POST"}


@pytest.mark.parametrize("slug", CHAPTERS)
def test_a_card_on_the_home_page_opens_its_chapter(page, slug):
    page.goto("/intro.html")
    page.locator(f".bd-article a[href='chapters/{slug}.html']").first.click()
    page.wait_for_url(f"**/chapters/{slug}.html")
    assert page.locator("article h1:visible").count() == 1


def test_the_skip_link_comes_first(page):
    page.goto("/chapters/" + CHAPTERS[0] + ".html")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.getAttribute('href')") == "#main-content"
    page.wait_for_timeout(600)  # it slides in
    assert page.evaluate("document.activeElement.getBoundingClientRect().top") >= 0, "the skip link is not shown when it has the focus"
    page.keyboard.press("Enter")
    assert page.url.endswith("#main-content")


def test_the_focus_can_be_seen_on_everything_the_tab_key_reaches(page):
    page.goto("/chapters/supervised-sr.html", wait_until="networkidle")
    unseen = []
    for _ in range(60):
        page.keyboard.press("Tab")
        name, seen = page.evaluate("""() => {
            const e = document.activeElement, s = getComputedStyle(e), p = e.closest('label') && getComputedStyle(e.closest('label'));
            const ring = (s) => s && ((s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) >= 2) || s.boxShadow !== 'none');
            return [e.outerHTML.slice(0, 100), e === document.body || ring(s) || ring(p)];
        }""")
        if not seen:
            unseen.append(name)
    assert not unseen


def test_a_slider_of_frames_moves_by_keyboard(page):
    tried = 0
    for where in CHAPTER_PAGES:
        page.goto(f"/{where}", wait_until="load")
        for figure in page.locator("figure.gensr-frames").all():
            shown = figure.locator("img:not([hidden])")
            slider = figure.locator("input[type=range]")
            assert shown.count() == 1
            before, label = shown.get_attribute("src"), figure.locator("output").inner_text()
            slider.focus()
            last = slider.evaluate("e => e.value === e.max")
            page.keyboard.press("ArrowLeft" if last else "ArrowRight")
            assert shown.count() == 1 and shown.is_visible()
            assert shown.get_attribute("src") != before
            assert figure.locator("output").inner_text() != label
            assert slider.get_attribute("aria-valuetext") == figure.locator("output").inner_text()
            tried += 1
    assert tried >= 1, "no chapter has a slider of frames"


def test_a_wipe_moves_by_keyboard(page):
    tried = 0
    for where in CHAPTER_PAGES:
        page.goto(f"/{where}", wait_until="load")
        for figure in page.locator("figure.gensr-compare").all():
            top = figure.locator(".gensr-top")
            before = top.evaluate("e => getComputedStyle(e).clipPath")
            figure.locator("input[type=range]").focus()
            page.keyboard.press("ArrowRight")
            assert top.evaluate("e => getComputedStyle(e).clipPath") != before
            a, b = figure.locator("img").first.bounding_box(), top.bounding_box()
            assert abs(a["width"] - b["width"]) < 1 and abs(a["height"] - b["height"]) < 1, "the two pictures do not cover each other"
            tried += 1
    if not tried:
        pytest.skip("no chapter has a wipe")


def test_a_quiz_answers_and_its_formulas_are_typeset(page):
    tried = 0
    for where in CHAPTER_PAGES:
        page.goto(f"/{where}", wait_until="networkidle")
        for quiz in page.locator("[data-shufflequestions]").all():
            page.wait_for_timeout(800)
            assert r"\(" not in quiz.inner_text() and "$" not in quiz.inner_text()
            before = quiz.inner_text()
            quiz.locator(".MCButton").first.click()
            page.wait_for_timeout(200)
            assert quiz.inner_text() != before
            for theme in ("light", "dark"):
                page.evaluate("t => { document.documentElement.dataset.theme = t; }", theme)
                page.wait_for_timeout(300)
                assert contrast(page, f"#{quiz.get_attribute('id')} .Feedback") >= 4.5, theme
            tried += 1
        assert page.watch.trouble == []
    assert tried >= 1, "no chapter has a quiz"


def test_search_finds_a_word(page):
    page.goto("/search.html?q=imresize")
    page.wait_for_selector("#search-results li a")
    assert any("api/images.html" in u for u in page.locator("#search-results li a").evaluate_all("all => all.map(e => e.href)"))
    page.goto("/search.html?q=zyxwvut")
    page.wait_for_timeout(1000)
    assert page.locator("#search-results li a").count() == 0


def test_the_search_dialog_opens_by_keyboard_and_there_is_one_search_button(page):
    page.goto("/intro.html", wait_until="networkidle")
    assert sum(b.is_visible() for b in page.locator(".search-button-field, .search-button").all()) == 1
    page.keyboard.press("Control+k")
    page.keyboard.type("glossary")
    page.keyboard.press("Enter")
    page.wait_for_url("**/search.html?q=glossary*")


def contrast(page, selector: str) -> float:
    """WCAG contrast ratio of an element's text with what is behind it."""
    return page.locator(selector).first.evaluate("""e => {
        const light = (c) => {
            const [r, g, b] = c.match(/[\\d.]+/g).slice(0, 3).map((v) => { v /= 255; return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; });
            return 0.2126 * r + 0.7152 * g + 0.0722 * b;
        };
        let ground = e;
        while (ground.parentElement && /rgba\\(.*, 0\\)|transparent/.test(getComputedStyle(ground).backgroundColor)) ground = ground.parentElement;
        const [a, b] = [light(getComputedStyle(e).color), light(getComputedStyle(ground).backgroundColor)].sort((a, b) => b - a);
        return (a + 0.05) / (b + 0.05);
    }""")


def test_dark_mode_can_be_chosen_and_stays_legible(page):
    where = f"/chapters/{CHAPTERS[0]}.html"
    page.goto(where, wait_until="networkidle")
    theme = lambda: page.evaluate("document.documentElement.dataset.theme")  # noqa: E731
    assert theme() == "light"
    for _ in range(3):
        if theme() == "dark":
            break
        page.locator("button.theme-switch-button:visible").first.click()
    assert theme() == "dark"
    page.reload(wait_until="networkidle")
    assert theme() == "dark", "the choice is forgotten"
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != "rgb(255, 255, 255)"
    for selector in ("article h1", "article p", "article .cell_input pre", ".bd-sidebar-primary a", "article blockquote p", "article a.reference"):
        if page.locator(selector).count():
            assert contrast(page, selector) >= 4.5, selector
    for picture in page.locator("main .cell_output img").all()[:6]:
        assert picture.evaluate("e => getComputedStyle(e).filter") == "none", "a figure is shown with other colours than it was drawn with"


@pytest.mark.parametrize("width", [390, 800])
def test_the_menu_and_the_contents_open_where_the_window_is_narrow(page, width):
    page.set_viewport_size({"width": width, "height": 844})
    page.goto(f"/{CHAPTER_PAGES[0]}", wait_until="load")
    for side, says in (("primary", "Glossary"), ("secondary", "Check yourself")):
        button, dialog = page.locator(f".{side}-toggle:visible"), page.locator(f"#pst-{side}-sidebar-modal")
        button.click()
        assert dialog.get_by_role("link", name=says).is_visible()
        page.keyboard.press("Escape")
        assert not dialog.is_visible()


def test_the_menu_makes_room_where_the_window_is_wide(page):
    page.set_viewport_size({"width": 1100, "height": 844})
    page.goto(f"/{CHAPTER_PAGES[0]}", wait_until="load")
    bar = page.locator("#pst-primary-sidebar")
    for seen in (False, True):
        page.locator(".primary-toggle:visible").click()
        assert bar.is_visible() is seen
