"""Every assigner and every public name has its place on the site, and what is wrong with a link is found."""

import importlib
import sys
from pathlib import Path

import pytest

import assigncore
from assigncore import ASSIGNERS

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def module():
    """Import what builds the site, which is no package: its modules import each other by their bare names."""
    sys.path.insert(0, str(ROOT / "docs" / "website"))
    yield importlib.import_module
    sys.path.remove(str(ROOT / "docs" / "website"))


@pytest.fixture(scope="module")
def stage(module, tmp_path_factory):
    folder = tmp_path_factory.mktemp("stage")
    module("pages").lay_out(folder)
    return folder


@pytest.mark.parametrize("name", ASSIGNERS.names())
def test_every_assigner_has_a_page_with_its_rule_a_figure_an_example_and_the_paper(stage, name):
    page = (stage / "assigners" / f"{name}.rst").read_text(encoding="utf-8")
    rule = " ".join(ASSIGNERS.get(name).__doc__.split("\n\n")[0].split())
    assert rule in page
    for heading in ("Knobs and call", "Ties and emptiness", "Example", "Papers"):
        assert f"\n{heading}\n---" in page
    assert f">>> {name}(" in page or f"{name}(" in page.split("Example\n---")[1]
    assert f"autoclass:: assigncore.{name}\n" in page
    for ground in ("light", "dark"):
        assert (stage / "assigners" / "figures" / f"{name}-{ground}.svg").stat().st_size > 1000
    assert f"   {name}\n" in (stage / "assigners" / "index.rst").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ASSIGNERS.names())
def test_every_figure_shows_positives_of_each_object(module, name):
    codes = module("figures").decide(name).result.gt_inds
    assert all((codes == i + 1).any() for i in range(3))


def test_every_public_name_is_documented(module, stage):
    reference = module("reference")
    told = [text for topic in reference.topics() for text in reference.documented(topic).values()]
    for name in assigncore.__all__:
        value = getattr(assigncore, name)
        assert name in ASSIGNERS.names() or any(value is other for other in told), name
    for topic in reference.topics():
        text = (stage / "reference" / f"{topic.page}.rst").read_text(encoding="utf-8")
        assert all(f":: {name}\n" in text for name in reference.documented(topic))
        for path in topic.modules:
            public = importlib.import_module(path)
            for name in public.__all__:
                assert any(getattr(public, name) is other for other in told) or name in assigncore.__all__


def test_a_constant_without_a_text_is_refused(module):
    with pytest.raises(ValueError, match=r"assigncore\.NOTHING: no text stands beneath it"):
        module("reference").text_beneath("assigncore.NOTHING", object())


def test_what_is_called_internal_is_there(module):
    for name in module("reference").INSIDE:
        importlib.import_module(f"assigncore.{name}")


def test_every_written_page_is_in_the_navigation(module, stage):
    pages = module("pages")
    listed = {name for names in pages.NAVIGATION.values() for name in names}
    for pattern in pages.CHILDREN.values():
        listed |= {path.relative_to(stage).with_suffix("").as_posix() for path in stage.glob(f"{pattern}.*")}
    written = {name.rpartition(".")[0] for name in pages.written_pages().values()}
    assert written - listed == {"index"}


def test_a_class_says_on_its_page_once_what_it_says(module):
    lines = ASSIGNERS.get("ATSSAssigner").__doc__.split("\n")
    kept = module("assigner_pages").on_the_page("assigncore.ATSSAssigner", lines)
    assert "Parameters" in kept
    assert not {"Examples", "References"} & set(kept)
    other = ["Summary.", "", "Examples", "--------", ">>> 1"]
    assert module("assigner_pages").on_the_page("assigncore.build_assigner", other) == other


def test_links_are_pointed_at_the_site(module):
    pages = {"docs/a.md": "a.md", "docs/b/c.md": "b/c.md", "CONTRIBUTING.md": "contributing.md"}
    text = "[c](b/c.md#x) [us](../CONTRIBUTING.md) [web](https://a.org/b.md)\n```\n[c](nowhere.md)\n```\n![p](pictures/p.png)"
    expected = "[c](b/c.md#x) [us](contributing.md) [web](https://a.org/b.md)\n```\n[c](nowhere.md)\n```\n![p](pictures/p.png)"
    assert module("pages").with_links("docs/a.md", text, pages) == expected
    assert module("pages").with_links("docs/b/c.md", "[a](../a.md)", pages) == "[a](../a.md)"
    assert module("pages").with_links("CONTRIBUTING.md", "[a](docs/a.md)", pages) == "[a](a.md)"
    with pytest.raises(ValueError, match=r"docs/a\.md: the link nowhere\.md leads to no page"):
        module("pages").with_links("docs/a.md", "[c](nowhere.md)", pages)


def test_the_page_on_pypi_leads_to_the_repository(module):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    page = module("markdown_links").for_pypi(text, "https://example.org/us/it", "v1")
    assert "](https://example.org/us/it/raw/v1/docs/pictures/atss.png)" in page
    assert "](https://example.org/us/it/blob/v1/docs/coming_from/README.md)" in page
    assert page.count("](https://") == page.count("](")
    assert "](https://data-apis.org/array-api/)" in page


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ('<a href="other.html#there">', ""),
        ('<a href="#here"><p id="here">', ""),
        ('<a href="https://example.org/a">', ""),
        ('<link rel="canonical" href="https://example.org/">', ""),
        ('<a href="missing.html">', "no such page"),
        ('<a href="other.html#missing">', "no such anchor"),
        ('<a href="#missing">', "no such anchor"),
        ('<a href="https://nothing">', "no well-formed address"),
        ('<a href="ftp://example.org/a">', "expected http, https or a relative link"),
        ('<script src="https://example.org/a.js">', "is fetched from elsewhere"),
        ('<link rel="stylesheet" href="//example.org/a.css">', "is fetched from elsewhere"),
        ('<img src="missing.png">', "no such file"),
    ],
)
def test_what_is_wrong_with_a_link_is_found(module, tmp_path, body, fault):
    (tmp_path / "page.html").write_text(f"<html><body>{body}</body></html>")
    (tmp_path / "other.html").write_text('<html><body><h1 id="there">There</h1></body></html>')
    found = list(module("links").faults(tmp_path))
    assert len(found) == bool(fault)
    assert all(fault in line for line in found)


def test_a_style_sheet_that_fetches_a_font_is_found(module, tmp_path):
    (tmp_path / "a.css").write_text("@font-face { src: url(https://example.org/font.woff2); }")
    assert list(module("links").faults(tmp_path)) == ["a.css: fetches something from elsewhere"]
