"""Keeps one text on GitHub: publish.py comment NUMBER FILE | issue TITLE FILE | close TITLE.

What it wrote before is known by a hidden mark and by its author, and is written anew. Needs GH_TOKEN and
GITHUB_REPOSITORY.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

MARK = "<!-- written by .github/scripts/publish.py -->\n"
AUTHOR = "github-actions[bot]"


def api(method: str, path: str, **fields: str) -> Any:
    """GitHub's answer; of a list all pages. The fields go by standard input: a text may be longer than an argument."""
    command = ["gh", "api", "--method", method, f"repos/{os.environ['GITHUB_REPOSITORY']}/{path}"]
    command += ["--input", "-"] if fields else ["--paginate", "--slurp"]
    done = subprocess.run(command, input=json.dumps(fields), stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def ours(path: str) -> list[dict[str, Any]]:
    """What we wrote among the comments or issues of a path."""
    found = [item for page in api("GET", path) for item in page]
    return [item for item in found if item["user"]["login"] == AUTHOR and (item["body"] or "").startswith(MARK)]


def issues(title: str) -> list[dict[str, Any]]:
    """Our open issues of this title."""
    return [item for item in ours("issues?state=open&per_page=100") if item["title"] == title]


def comment(number: str, text: str) -> None:
    """Write the comment of a pull request, or write it anew."""
    before = ours(f"issues/{number}/comments?per_page=100")
    if before:
        api("PATCH", f"issues/comments/{before[0]['id']}", body=MARK + text)
    else:
        api("POST", f"issues/{number}/comments", body=MARK + text)


def issue(title: str, text: str) -> None:
    """Open the issue, or write the open one anew."""
    before = issues(title)
    if before:
        api("PATCH", f"issues/{before[0]['number']}", body=MARK + text)
    else:
        api("POST", "issues", title=title, body=MARK + text)


def close(title: str) -> None:
    """Close the issue where it is open."""
    for found in issues(title):
        api("PATCH", f"issues/{found['number']}", state="closed")


if __name__ == "__main__":
    what, name, *file = sys.argv[1:]
    if what == "close":
        close(name)
    else:
        {"comment": comment, "issue": issue}[what](name, Path(*file).read_text())
