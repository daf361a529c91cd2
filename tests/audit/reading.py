"""Read a page as a person and as a program: its visible text, its tags, the numbers on it and in its record."""

import re
from html import unescape
from html.parser import HTMLParser

import numpy as np


class Text(HTMLParser):
    """Collects visible text and every tag with its attributes."""

    def __init__(self, page):
        super().__init__()
        self.text, self.tags, self.skip, self.ids = [], [], 0, []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.ids += [v for k, v in attrs if k == "id"]
        self.skip += tag in ("style", "svg")

    def handle_endtag(self, tag):
        self.skip -= tag in ("style", "svg")

    def handle_data(self, data):
        if not self.skip:
            self.text.append(data)


def numbers_of(value):
    """Every number of a JSON value, those inside texts included."""
    if isinstance(value, dict):
        return [n for v in value.values() for n in numbers_of(v)]
    if isinstance(value, list):
        return [n for v in value for n in numbers_of(v)]
    if isinstance(value, str):
        return [float(n) for n in re.findall(r"\d+(?:\.\d+)?(?:e[-+]?\d+)?", value)]
    return [] if isinstance(value, bool) or value is None else [abs(float(value))]


def unknown_numbers(page, known, fixed):
    """Numbers of the visible page that are neither a known one, as far as their digits go, nor one of the template."""
    text = unescape(" ".join(Text(page).text)).replace(",", "").replace("−", "-")
    text = re.sub(r"\b[0-9a-f]{64}\b", "", text)
    unknown = []
    for token in set(re.findall(r"(?<![\w.])\d+(?:\.\d+)?(?:e[-+]?\d+)?(?![\w])", text)):
        value = float(token)
        digits = len(token.partition("e")[0].partition(".")[2])
        exponent = int(token.partition("e")[2] or 0)
        near = np.abs(known - value).min() <= 0.5000001 * 10.0 ** (exponent - digits)
        if not near and value not in fixed:
            unknown.append(token)
    return unknown
