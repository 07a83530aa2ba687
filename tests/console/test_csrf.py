from doubles.console_browser import Browser


async def test_form_of_this_session_is_taken(admin: Browser) -> None:
    answer = await admin.post("/sign-out")
    assert answer.status_code == 303


async def test_form_without_the_token_changes_nothing(admin: Browser) -> None:
    for token in ("", "x", "é"):
        refused = await admin.post("/sign-out", token=token)
        assert refused.status_code == 403
        assert "This page is out of date" in refused.text
        assert "load the page again" in refused.text
        assert (await admin.get("/")).status_code == 200


async def test_token_of_another_session_is_refused(admin: Browser, stranger: Browser) -> None:
    await stranger.sign_in()
    refused = await admin.post("/sign-out", token=await stranger.csrf())
    assert refused.status_code == 403


async def test_token_may_come_in_a_header(admin: Browser) -> None:
    token = await admin.csrf()
    answer = await admin.client.post("/console/sign-out", headers={"X-CSRF-Token": token})
    assert answer.status_code == 303


async def test_form_of_another_site_is_refused_even_with_the_token(admin: Browser) -> None:
    for headers in (
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
    ):
        refused = await admin.post("/sign-out", headers=headers)
        assert refused.status_code == 403
        assert (await admin.get("/")).status_code == 200


async def test_forms_of_our_own_origin_are_taken(admin: Browser) -> None:
    origin = str(admin.client.base_url).rstrip("/")
    answer = await admin.post("/sign-out", headers={"Origin": origin})
    assert answer.status_code == 303


async def test_nobody_is_signed_in_by_another_site(stranger: Browser) -> None:
    refused = await stranger.client.post(
        "/console/sign-in",
        data={"username": "admin", "password": "x"},
        headers={"Sec-Fetch-Site": "cross-site"},
    )
    assert refused.status_code == 403
    assert stranger.cookie is None
