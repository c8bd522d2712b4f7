"""A page of text as HTML, amid what a web site puts around it. Pure."""

from __future__ import annotations

from html import escape
from random import Random

from assets.worlds.web_pages.lexicon import BOILERPLATE
from assets.worlds.web_pages.prose import Page

BULLET = "- "
MENU = ("Home", "News", "Archive", "About", "Contact", "Help", "Members", "Gallery")
SIDE = ("Most read", "Latest comments", "Popular tags", "Related pages", "Recommended for you")


def render_html(page: Page, domain: str, random: Random) -> str:
    """The whole document; navigation, links at the side and notices at the foot are drawn."""
    menu, side = _links(MENU, random), _links(SIDE, random)
    notices = "".join(f"<p>{escape(line)}</p>" for line in random.sample(BOILERPLATE, 8))
    title = escape(page.title)
    return (
        "<!DOCTYPE html>\n"
        f'<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        "<style>body { margin: 0 }</style><script>window.started = true;</script></head>\n"
        f'<body><header><a class="logo" href="/">{escape(domain)}</a><nav><ul>{menu}</ul></nav></header>\n'
        f"<main><article><h1>{title}</h1>\n{_body(page)}\n</article>\n"
        f'<aside class="sidebar"><ul>{side}</ul></aside></main>\n'
        f'<footer class="footer">{notices}</footer></body></html>\n'
    )


def _links(names: tuple[str, ...], random: Random) -> str:
    """All names as links, in an order that is drawn."""
    drawn = random.sample(names, len(names))
    return "".join(f'<li><a href="/{name.lower().replace(" ", "-")}">{name}</a></li>' for name in drawn)


def _body(page: Page) -> str:
    """Paragraphs; lines with a bullet are items of one list."""
    if all(line.startswith(BULLET) for line in page.paragraphs):
        items = "\n".join(f"<li>{escape(line.removeprefix(BULLET))}</li>" for line in page.paragraphs)
        return f"<ul>\n{items}\n</ul>"
    return "\n".join(f"<p>{escape(line)}</p>" for line in page.paragraphs)
