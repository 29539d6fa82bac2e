"""Pages as tests read them: links, headings, code, and the commands in it."""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")])
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
COMMENT = re.compile(r"(^|\s)#.*")


@cache
def text(page: Path) -> str:
    """The whole page."""
    return page.read_text(encoding="utf-8")


@cache
def prose(page: Path) -> str:
    """The page without its fenced code."""
    return FENCE.sub("", text(page))


def fences(page: Path, *languages: str) -> list[str]:
    """Fenced code in one of these languages."""
    return [code for language, code in FENCE.findall(text(page)) if language in languages]


def inline(page: Path) -> list[str]:
    """Code within sentences."""
    return INLINE.findall(prose(page))


def links(page: Path) -> list[str]:
    """Where the page points to."""
    return LINK.findall(prose(page))


@cache
def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives to the page's headings."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def typed(page: Path) -> Iterator[str]:
    """Every line that a reader may type: of shell code, and commands within sentences."""
    for code in fences(page, "sh"):
        for line in code.replace("\\\n", " ").splitlines():
            yield COMMENT.sub("", line).strip()
    yield from inline(page)


def canary(line: str) -> list[str] | None:
    """The words after `canary` in a line that runs it; None = it does not."""
    found = re.match(r"(?:\w+=\$\()?(?:\.venv/bin/)?canary ([^)|>]*)", line)
    return found[1].split() if found and not line.startswith("canary-") else None
