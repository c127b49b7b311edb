"""Prompt texts by name, and where the query stands in them. Knows no chat template and no tokenizer."""

from __future__ import annotations

import re
from typing import NamedTuple

from glintbox.errors import BadInput, UnknownName

LONGEST_QUERY = 1000
"""Characters; what is longer describes no single thing and would crowd out the picture."""

PROMPTS: dict[str, str] = {
    # Appendix D of the ACS paper (arXiv 2606.01612), word for word, also its clause on masked objects
    "paper": """\
Detect all instances of {query} in the image:

Your task is to detect any {query} objects that are visible in the image.

For each detected object, provide:
The bounding box coordinates [x1, y1, x2, y2]

Output format (as a JSON array):
[
  {"bbox_2d": [x1, y1, x2, y2], "label": "{query}"},
  {"bbox_2d": [x1, y1, x2, y2], "label": "{query}"}
]

Important: Focus on any {query} that might be present in the image,
especially those that are still visible and NOT masked out.

Example output:
[
  {"bbox_2d": [200, 150, 280, 220], "label": "{query}"},
  {"bbox_2d": [350, 180, 420, 270], "label": "{query}"}
]""",
    "short": "Detect {query} in the image.",  # reads well for a category and for an expression
    # what the families' own cookbooks and model cards ask
    "qwen": "Locate every {query} in the image and output the bbox coordinates in JSON format.",
    "internvl": "Please provide the bounding box coordinate of the region this sentence describes: <ref>{query}</ref>",
    "llava": "Please provide the bounding box coordinate of the region this sentence describes: {query}.",
    # nothing but the expression, for localization heads (arXiv 2503.06287), whose expressions end with a full stop
    "expression": "{expression}",
    "expression-as-given": "{query}",
    # for localization heads too: the answer is begun for the model, which is about to write x1
    "begun": "Detect {query} in the image.",
}
"""`{query}` stands for what is looked for, `{expression}` for the same as a sentence; other braces for themselves."""

EXPRESSION = "expression"
"""The prompt of localization heads: they are read at its last token."""

BEGUN = {"begun": '[{"bbox_2d": ['}
"""Where a prompt begins the answer: with this."""

CLOSED = re.compile(r"""[.!?…。！？]["'”’»)\]]*$""")
"""Ends as a sentence does, quotation marks and brackets aside."""


class Told(NamedTuple):
    """A prompt's text; said: characters [a, b) of the place where the query stands last, its full stop included.

    begun: what the answer is made to begin with.
    """

    text: str
    said: tuple[int, int]
    begun: str = ""


def tell(name: str, query: str) -> Told:
    """Prompt `name` about `query`; blanks around the query are taken off, and braces in it mean nothing.

    An `{expression}` without closing punctuation gets a full stop.

    Raises:
        UnknownName: no such prompt in `PROMPTS`.
        BadInput: an empty query, one of more than `LONGEST_QUERY` characters, or one that is no proper text.
    """
    if name not in PROMPTS:
        raise UnknownName("prompt", name, PROMPTS)
    query = query.strip()
    if not query:
        raise BadInput("expected a query that names what to look for, got an empty one; say it, e.g. 'red mug'")
    if len(query) > LONGEST_QUERY:
        raise BadInput(
            f"expected a query of at most {LONGEST_QUERY:,} characters, got {len(query):,}; name one thing in few words"
        )
    if any("\ud800" <= character <= "\udfff" for character in query):
        raise BadInput(f"expected a query in UTF-8, got bytes that are none in {query[:80]!a}; type it again")
    place = "{query}"
    if "{expression}" in PROMPTS[name]:
        place, query = "{expression}", query if CLOSED.search(query) else f"{query}."
    *head, tail = PROMPTS[name].split(place)
    before = query.join([*head, ""])  # ends with the query's last place; the template may hold its letters behind that
    return Told(before + tail, (len(before) - len(query), len(before)), BEGUN.get(name, ""))
