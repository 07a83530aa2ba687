from cloud_connect_agent.procore.window import MAX_PAGES, ReadAhead


def test_everything_is_allowed_until_measures_say_otherwise() -> None:
    window = ReadAhead()
    assert window.pages == MAX_PAGES
    window.fetched(0.15)
    assert window.pages == MAX_PAGES


def test_slow_taker_holds_few_pages() -> None:
    window = ReadAhead()
    window.fetched(0.15)
    window.taken(1.0)
    assert window.pages == 2
    window = ReadAhead()
    window.fetched(0.15)
    window.taken(0.1)
    assert window.pages == 4


def test_quick_taker_gets_all_there_is() -> None:
    window = ReadAhead()
    window.fetched(0.15)
    window.taken(0.002)
    assert window.pages == MAX_PAGES
    window.taken(0.0)
    assert window.pages == MAX_PAGES


def test_one_slow_page_does_not_decide_for_good() -> None:
    window = ReadAhead()
    window.fetched(0.15)
    window.taken(5.0)
    for _ in range(30):
        window.taken(0.001)
    assert window.pages == MAX_PAGES


def test_cautious_reading_starts_small_and_doubles() -> None:
    window = ReadAhead(cautious=True)
    sizes = [window.pages]
    for _ in range(5):
        window.taken(0.0)
        sizes.append(window.pages)
    assert sizes == [2, 4, 8, 16, 32, 32]
