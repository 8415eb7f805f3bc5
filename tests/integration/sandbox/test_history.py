"""history.list: what happened since a cursor."""


async def changes(desk, start, **params):
    status, answer = await desk.gmail("GET", "/history", params={"startHistoryId": start, **params})
    assert status == 200, answer
    return answer


async def test_new_mail_and_label_changes_follow_the_cursor(desk):
    """Records come oldest first, with the labels of each message."""
    _, profile = await desk.gmail("GET", "/profile")
    quiet = await changes(desk, profile["historyId"])
    await desk.control("deliver", {"list": "python-hebdo", "count": 2})
    (newest, *_) = await desk.listed("from:pythonhebdo")
    await desk.gmail("POST", f"/messages/{newest}/modify", json={"removeLabelIds": ["UNREAD"]})
    everything = await changes(desk, profile["historyId"])
    added = await changes(desk, profile["historyId"], historyTypes="messageAdded")
    assert "history" not in quiet
    assert [sorted(set(item) - {"id", "messages"}) for item in everything["history"]] == [
        ["messagesAdded"],
        ["messagesAdded"],
        ["labelsRemoved"],
    ]
    assert everything["history"][2]["labelsRemoved"][0]["labelIds"] == ["UNREAD"]
    assert len(added["history"]) == 2
    assert "INBOX" in added["history"][0]["messagesAdded"][0]["message"]["labelIds"]


async def test_pages_lose_nothing(desk):
    """A token goes on where the page ended."""
    _, profile = await desk.gmail("GET", "/profile")
    await desk.control("deliver", {"list": "aio-dev", "count": 5})
    seen, token = [], None
    while True:
        page = await changes(
            desk, profile["historyId"], maxResults="2", **({"pageToken": token} if token else {})
        )
        seen += [item["id"] for item in page["history"]]
        token = page.get("nextPageToken")
        if token is None:
            break
    assert len(seen) == len(set(seen)) == 5


async def test_a_cursor_that_is_too_old_is_a_404(desk):
    """Then Google wants a full sync."""
    _, profile = await desk.gmail("GET", "/profile")
    await desk.control("faults", {"forget_history": True})
    status, answer = await desk.gmail("GET", "/history", params={"startHistoryId": profile["historyId"]})
    assert (status, answer["error"]["errors"][0]["reason"]) == (404, "notFound")


async def test_a_cursor_that_is_none_is_a_400(desk):
    """Missing, or not a number."""
    for params in ({}, {"startHistoryId": "yesterday"}, {"startHistoryId": "-1"}):
        status, answer = await desk.gmail("GET", "/history", params=params)
        assert (status, answer["error"]["status"]) == (400, "INVALID_ARGUMENT")
