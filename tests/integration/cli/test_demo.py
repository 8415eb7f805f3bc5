"""`mailwarden demo`, whole: on made-up mail, and on somebody's real mail."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.system import ROOT

pytestmark = pytest.mark.timeout(300)

_ONE_CLICK = """\
From: Daily <daily@news.example>
To: me@home.example
Subject: Today
Date: Mon, 16 Nov 2026 08:00:00 +0000
List-Id: Daily <daily.news.example>
List-Unsubscribe: <https://news.example/leave?id=1>
List-Unsubscribe-Post: List-Unsubscribe=One-Click
Authentication-Results: mx.google.com; dkim=pass header.i=@news.example header.s=s1 header.b=AbCdEfGh
DKIM-Signature: v=1; a=rsa-sha256; d=news.example; s=s1;
 h=from:to:subject:date:list-unsubscribe:list-unsubscribe-post; bh=aGFzaA==; b=AbCdEfGhIjKl

News.
"""
_MAILTO = """\
From: Club <club@club.example>
To: me@home.example
Subject: Meeting
Date: Mon, 16 Nov 2026 09:00:00 +0000
List-Id: Club <members.club.example>
List-Unsubscribe: <mailto:leave@club.example?subject=leave>

We meet.
"""


def demo(*arguments: str) -> str:
    """Run the demo to its end, which must be good, and give the report."""
    done = subprocess.run(
        [sys.executable, "-m", "services.cli", "demo", *arguments],
        cwd=ROOT, env={"PATH": os.environ["PATH"], "HOME": str(Path.home()), "AUTH_MODE": "jwt"},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-3000:]
    return done.stdout


@pytest.mark.promise("story.demo", "traces.whole")
def test_the_demo_tells_the_whole_story_whatever_the_shell_holds() -> None:
    """Every kind of unsubscribe, nothing twice, three protocols, one trace down to Google, memory."""
    report = demo()
    outcomes = report.split("3. Unsubscribe")[1].split("The same request again")[0]
    for outcome in ("1 POST", "1 MAIL", "needs a person", "refused as unsafe"):
        assert outcome in outcomes
    assert "Nothing was sent twice" in report
    assert "Room for 45 minutes" in report
    agents = report.split("5. The same through")[1].split("6. One request")[0]
    assert len(re.findall(r"\bbefore\b", agents)) == 2
    tree = report.split("6. One request")[1]
    assert re.search(r"edge_rest .*\n.*auth.IssuePassport(.|\n)*mail_core .*\n.*google\.", tree)
    rights = report.split("7. A key for an agent")[1].split("8. Memory")[0]
    assert "may not scan: 403 READ_ONLY" in rights
    assert re.search(r"Revoked, it was refused \d+ ms later", rights)
    assert re.search(r"(request.refused|access.denied) .* denied READ_ONLY", rights)
    assert re.search(r"The hash chains hold: \d+ events recomputed", rights)
    assert re.search(r"together +\d+ +\d+", report)
    assert "nothing is left running" in report


@pytest.mark.promise("story.corpus")
def test_real_mail_is_counted_right_and_its_senders_are_not_contacted(tmp_path: Path) -> None:
    """One-click links in real mail lead to real hosts, so they are only rehearsed."""
    (tmp_path / "1.eml").write_text(_ONE_CLICK)
    (tmp_path / "2.eml").write_text(_MAILTO)
    (tmp_path / "3.eml").write_text(_MAILTO.replace("16 Nov", "17 Nov"))
    report = demo("--corpus", str(tmp_path))
    assert "3 messages found, 3 read, 0 unreadable" in report
    assert "2 lists with 3 messages: 1 one-click, 1 by mail." in report
    assert "only rehearsed" in report
    assert "No list in this mailbox is of the kind “needs a person”." in report
    assert "the sandbox keeps the mail" in report
