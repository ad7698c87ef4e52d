"""The words of code and documentation: patterns that CONTRIBUTING.md replaces do not come back."""

import re
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("qhal", "drivers", "simulators", "docs", "examples", "benchmarks", "udev")
PATTERN = re.compile(
    r"\b(?:(?<!there )is no (?!longer\b)[a-z]|that there (?:is|are)\b|so (?:many|much)\b|(?:some|no|any)body\b|anew\b"
    r"|put(?:s|ting)? (?:back|off)\b|carr(?:y|ies|ied|ying) out\b|in any case\b|go(?:es)? on\b|by itself\b)",
    re.IGNORECASE,
)


def texts(path):
    """Line numbers and texts that a person reads: comments and strings of Python, all but code blocks of Markdown."""
    if path.suffix == ".py":
        with path.open("rb") as file:
            for token in tokenize.tokenize(file.readline):
                if token.type in (tokenize.COMMENT, tokenize.STRING):
                    yield token.start[0], token.string
    else:
        prose = re.sub(
            r"```.*?```", lambda block: "\n" * block[0].count("\n"), path.read_text(), flags=re.DOTALL
        )
        yield from enumerate(prose.splitlines(), 1)


def found(path):
    for start, text in texts(path):
        # A phrase may be broken by the end of a line.
        joined = re.sub(r"\n\s*(?:# )?", lambda gap: " " * len(gap[0]), text)
        for match in re.finditer(PATTERN, re.sub(r" {2,}", " ", joined)):
            yield start, match[0]


@pytest.mark.parametrize("folder", FOLDERS)
def test_words_that_are_replaced_do_not_come_back(folder):
    paths = [path for kind in ("*.py", "*.md") for path in sorted((ROOT / folder).rglob(kind))]
    if folder == "docs":
        paths.append(ROOT / "README.md")
    again = [f"{path.relative_to(ROOT)}:{line}: {words}" for path in paths for line, words in found(path)]
    assert again == []


def test_the_patterns_are_recognised(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("This is no\nlink. It is no longer one.\n```\nnobody\n```\nSo many words.\n")
    assert [words for _, words in found(page)] == ["So many"]
    code = tmp_path / "code.py"
    code.write_text('"""Somebody\n   is no  user."""\nnobody = 1  # put back\n')
    assert [words for _, words in found(code)] == ["Somebody", "is no u", "put back"]
