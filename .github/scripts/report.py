"""One Markdown text of what several jobs found: report.py preview|drift FOLDER.

FOLDER holds `words-STACK.md` of `make preview` and `engine-STACK.txt` of the engine, as far as there are any.
"""

import re
import sys
from pathlib import Path

STACKS = ("dev", "prod")
# GitHub takes 65,536 characters; the rest is for what stands between the parts.
LONGEST = 60_000
TITLES = {
    "preview": "## What this pull request deploys\n",
    "drift": (
        "What runs is not what `main` declares: somebody changed it by hand, or a deployment has not come to its end. "
        "Put it into the repository, or deploy `main` again. The next night without a difference closes this issue.\n"
    ),
}


def cut(texts: list[str], longest: int) -> list[str]:
    """The texts, each shortened to a fair share of `longest` where they are longer together; short ones stay whole."""
    room, places = longest, sorted(range(len(texts)), key=lambda place: len(texts[place]))
    kept = list(texts)
    for done, place in enumerate(places):
        share = room // (len(places) - done)
        if len(texts[place]) > share:
            kept[place] = texts[place][:share].rpartition("\n")[0] + "\n… more in the job's log\n"
        room -= min(len(texts[place]), share)
    return kept


def split(words: str) -> tuple[str, str]:
    """The words of a preview, and the lines that change below them."""
    head, fence, rest = words.partition("```diff\n")
    return head.strip() + "\n", fence + rest


def folded(title: str, text: str, language: str) -> str:
    """A part that opens on a click. Its fence is longer than any that stands in it."""
    fence = "`" * max(3, 1 + max((len(found) for found in re.findall(r"`+", text)), default=0))
    return f"<details><summary>{title}</summary>\n\n{fence}{language}\n{text.rstrip()}\n{fence}\n\n</details>\n"


def report(kind: str, folder: Path) -> str:
    """The whole text."""
    heads, titles, bodies, languages = [], [], [], []
    for stack in STACKS:
        words, engine = folder / f"words-{stack}.md", folder / f"engine-{stack}.txt"
        if words.exists():
            head, lines = split(words.read_text())
            heads.append(head)
            if lines:
                titles.append(f"{stack}: the lines that change")
                # Its own fences have no use within one.
                bodies.append(re.sub(r"^```(diff)?\n", "", lines, flags=re.MULTILINE))
                languages.append("diff")
        if engine.exists():
            titles.append(f"{stack}: <code>pulumi preview --stack {stack}</code>")
            bodies.append(engine.read_text())
            languages.append("")
    heads = cut(heads, LONGEST // 2)
    bodies = cut(bodies, LONGEST - sum(map(len, heads)))
    return "\n".join([TITLES[kind], *heads, *map(folded, titles, bodies, languages)])


if __name__ == "__main__":
    print(report(sys.argv[1], Path(sys.argv[2])), end="")
