from cloud_connect_relay.storage.datasources import DataSource, DataSourceDetails, DataSourceStatus
from doubles.relay_node import NOW, Founded


def details(title: str) -> DataSourceDetails:
    return DataSourceDetails(
        title=title,
        type="procore",
        settings={},
        use_connector=False,
        connector_ids=(),
        connector_group=None,
        security={},
    )


async def save(
    store: Founded, source: DataSource, title: str, *, at: float, over_others: bool
) -> DataSource | None:
    return await store.storage.of(store.subscription_id).datasources.replace(
        source,
        details(title),
        status=DataSourceStatus.INCOMPLETE,
        message="",
        action="datasource.change",
        actor="user:usr_1",
        at=at,
        over_others=over_others,
    )


async def test_who_asks_for_it_does_not_save_over_others(store: Founded) -> None:
    datasources = store.storage.of(store.subscription_id).datasources
    read = await datasources.create(
        details("one"),
        status=DataSourceStatus.INCOMPLETE,
        message="",
        actor="user:usr_1",
        at=NOW,
    )
    assert await save(store, read, "two", at=NOW + 1, over_others=False) is not None
    assert await save(store, read, "three", at=NOW + 2, over_others=False) is None
    found = await datasources.find(read.id)
    assert found is not None
    assert found.details.title == "two"
    assert await save(store, read, "three", at=NOW + 2, over_others=True) is not None
