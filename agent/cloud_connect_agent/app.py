"""The composition root: builds the running agent, and closes everything in order."""

import asyncio
import platform
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

import structlog

from cloud_connect.calls import Report
from cloud_connect.memory import keep_small
from cloud_connect.sealing import SealingKey
from cloud_connect.signing import to_text
from cloud_connect_agent.audit import (
    AuditFolder,
    AuditTrail,
    CheckpointExchange,
    RecordedControl,
    Retention,
    reconcile,
    watch_files,
)
from cloud_connect_agent.connection import connect_forever
from cloud_connect_agent.control_server import serve_control
from cloud_connect_agent.dispatch import Dispatcher
from cloud_connect_agent.health import Health
from cloud_connect_agent.hosting.manager import Manager, SignalledManager
from cloud_connect_agent.identity import AgentKeys, Generation
from cloud_connect_agent.journal import Journal
from cloud_connect_agent.key_rotation import KeyAge, KeyRotation
from cloud_connect_agent.keyring import Keyring
from cloud_connect_agent.live_calls import LiveCalls
from cloud_connect_agent.operation import CurrentProcore, Operator
from cloud_connect_agent.outbox import Outbox
from cloud_connect_agent.paths import AgentPaths
from cloud_connect_agent.pausing import Clocks, Pause
from cloud_connect_agent.policy.approvals import Approvals
from cloud_connect_agent.policy.gate import PolicyGate
from cloud_connect_agent.policy.keeping import kept_on_disk
from cloud_connect_agent.policy.past import PastCalls
from cloud_connect_agent.policy_file import PolicyFile
from cloud_connect_agent.procore.catalog import Catalog, load_catalog
from cloud_connect_agent.procore.client import ProcoreClient
from cloud_connect_agent.procore.executor import RecordExecutor
from cloud_connect_agent.procore.files.parts import ProcoreFiles
from cloud_connect_agent.procore.metadata import SnapshotStore
from cloud_connect_agent.procore.probing import ProcoreProbe
from cloud_connect_agent.procore.project_binding import ProjectBinding
from cloud_connect_agent.proxies import Proxies
from cloud_connect_agent.relay_address import RelayAddress
from cloud_connect_agent.reports import ReportBoard
from cloud_connect_agent.sealing_keys import SealingKeys
from cloud_connect_agent.session_work import Together
from cloud_connect_agent.settings import AgentSettings, LogSettings
from cloud_connect_agent.stopping import StopSignal
from cloud_connect_agent.strong_calls import StrongCalls
from cloud_connect_agent.suspension import boot_clock, tell_of_sleep
from cloud_connect_agent.tls import client_context
from cloud_connect_agent.vault import describe_vault, open_vault
from cloud_connect_agent.version import VERSION

__all__ = ["run_agent"]

log = structlog.get_logger(__name__)

_CLOSE_SECONDS: Final = 1.0  # for the link to be closed in order


async def run_agent(
    paths: AgentPaths,
    *,
    load: Callable[[], AgentSettings],
    stop: StopSignal | None = None,
    manager: Manager | None = None,
    log_as: Callable[[LogSettings], None] = lambda _: None,
    list_settings: Callable[[], list[dict[str, object]]] = list,
) -> int:
    """Serve calls until told to stop; return the exit status.

    Args:
        load: Reads the settings, at the start and at each reload.
        manager: What runs the agent as a service, if anything does.
        log_as: Has the log be written as its section says, when a reload changes that.
        list_settings: Lists the settings as the command line does, with who set them.

    Raises:
        ConfigurationError: If the settings cannot be used.
        VaultLockedError: If the vault cannot be opened.
    """
    stop, manager = stop or StopSignal(), manager or SignalledManager()
    settings = load()
    async with AsyncExitStack() as stack:
        vault = await stack.enter_async_context(open_vault(paths, settings.vault))
        keys = AgentKeys(vault)
        keyring = await Keyring.load(keys)
        sealing_key = await SealingKeys(vault).load()
        kept = describe_vault(paths)
        if kept is not None and kept["warning"]:
            log.warning("vault_key_in_file", advice=kept["warning"])
        proxies = Proxies.of(settings.proxy)
        address = RelayAddress.of(
            settings.relay,
            key=keyring.current,
            tls=client_context(settings.relay.ca_file),
            proxies=proxies,
        )
        rotation = KeyRotation(
            keyring,
            address,
            KeyAge(paths.key_age_file),
            max_days=settings.relay.rotate_key_days,
        )
        trail = await stack.enter_async_context(
            AuditTrail.open(
                AuditFolder(paths.audit_dir),
                signer=keyring,
                digest_key=await keys.audit_digest_key(),
                retention=Retention(
                    days=settings.audit.retention_days, max_bytes=settings.audit.max_bytes
                ),
            )
        )
        journal = await stack.enter_async_context(Journal.open(paths.journal_file))
        await reconcile(trail, journal)
        trail.event("agent.started", {"version": VERSION, "key_id": keyring.current.key_id})
        keyring.rotated = lambda key_id: trail.event("agent.key_rotated", {"key_id": key_id})
        checkpoints = CheckpointExchange(trail, relay_key=address.credentials.relay_public_key)
        administered = settings.policy.owner == "administrator"
        policy = PolicyFile(paths.policy_file, administered=administered)
        approvals = Approvals(
            decided_file=paths.approvals_file,
            waiting_file=paths.waiting_file,
            administered=administered,
        )
        past = PastCalls(paths.decisions_file)
        await stack.enter_async_context(kept_on_disk(approvals, past))
        procore = CurrentProcore(settings.procore)
        client = await stack.enter_async_context(
            ProcoreClient.open(procore, vault, proxies=proxies)
        )
        gate = PolicyGate(policy, approvals=approvals, projects=ProjectBinding(client), past=past)
        catalog = load_catalog().with_upserts(settings.procore.upserts)
        board = ReportBoard(_first_report(policy, catalog, sealing_key))
        health, live = _health(paths), LiveCalls()
        operator = Operator(
            load=load,
            settings=settings,
            procore=procore,
            client=client,
            proxies=proxies,
            policy=policy,
            approvals=approvals,
            journal=journal,
            audit=trail,
            health=health,
            board=board,
            stop=stop,
            rotation=rotation,
            live=live,
            log_as=log_as,
            list_settings=list_settings,
        )
        control = RecordedControl(operator.answer, trail, checkpoints)
        await stack.enter_async_context(serve_control(paths.control_socket, control.answer))
        stack.callback(live.close)  # or who looks on would hold up the end
        stack.enter_context(manager.heeding(stop=stop.request, reload=operator.reload))
        store = SnapshotStore(paths.metadata_dir)
        executor = RecordExecutor(
            client,
            catalog,
            store=store,
            tree_cache_seconds=lambda: procore.tree_cache_seconds,
        )
        stack.push_async_callback(executor.metadata.flush)
        files = await stack.enter_async_context(
            ProcoreFiles.open(
                client,
                catalog,
                spool_dir=paths.spool_dir,
                max_spool_bytes=lambda: procore.max_spool_bytes,
                proxies=proxies,
                journal=journal,
            )
        )
        log.info("agent_started", version=VERSION, connector_id=settings.relay.connector_id)
        async with asyncio.TaskGroup() as group:
            watch = group.create_task(operator.watch(), name="operator-watch")
            recording = [
                group.create_task(trail.keep(), name="audit-keep"),
                group.create_task(
                    watch_files(
                        trail,
                        {"policy": paths.policy_file, "approvals": paths.approvals_file},
                    ),
                    name="audit-files",
                ),
            ]
            keep = group.create_task(executor.metadata.keep(), name="metadata-keep")
            probing = ProcoreProbe(client, interval=lambda: procore.probe_seconds)
            probe = group.create_task(probing.keep(), name="procore-probe")
            winding = group.create_task(_wind_down(stop, client, manager), name="wind-down")
            attending = group.create_task(manager.attend(health), name="service-manager")
            rotating = group.create_task(rotation.keep(), name="key-rotation")
            tidying = group.create_task(keep_small(), name="memory")
            sleeping = group.create_task(tell_of_sleep(client.scheduler.slept), name="sleep")
            manager.ready()
            async with _until_drained(group, stop, seconds=settings.tunnel.drain_timeout):
                dispatching = Dispatcher.open(
                    executor,
                    client,
                    gate,
                    journal,
                    files=files,
                    strong=StrongCalls(
                        journal,
                        rules=policy.strong_modes,
                        connector_id=settings.relay.connector_id or "",
                        key=sealing_key,
                    ),
                    audit=trail,
                    live=live,
                    paused=lambda: health.paused,
                    echoed=health.echoed,
                    linger=lambda: 0.0 if stop.urgent else settings.tunnel.drain_timeout,
                )
                async with dispatching as dispatcher:
                    health.counts(lambda: dispatcher.in_flight)
                    await connect_forever(
                        dispatcher,
                        relay=address,
                        generation=Generation(paths.generation_file, behind=journal.begin_anew),
                        settings=settings.tunnel,
                        health=health,
                        reports=board,
                        outbox=Together(Outbox(journal), checkpoints, journal.presence),
                        keyring=keyring,
                        stop=stop,
                    )
            watch.cancel()
            keep.cancel()
            probe.cancel()
            winding.cancel()
            attending.cancel()
            rotating.cancel()
            tidying.cancel()
            sleeping.cancel()
            for task in recording:
                task.cancel()
        trail.event("agent.stopped", {"in_order": not stop.urgent})
        client.authenticator.wind_down(urgent=stop.urgent)
    log.info("agent_stopped", in_order=not stop.urgent)
    return 1 if stop.urgent else 0


def _health(paths: AgentPaths) -> Health:
    """Begin to watch over it, with the pause that an earlier process left: sleep shortens that."""
    return Health(pause=Pause.load(paths.pause_file, clocks=Clocks(monotonic=boot_clock)))


@asynccontextmanager
async def _until_drained(
    group: asyncio.TaskGroup, stop: StopSignal, *, seconds: float
) -> AsyncIterator[None]:
    """Break off what runs inside when it has not ended *seconds* after the wish to stop."""

    async def bound(scope: asyncio.Timeout) -> None:
        loop = asyncio.get_running_loop()
        await stop.wait()
        scope.reschedule(loop.time() + seconds + _CLOSE_SECONDS)
        await stop.wait_urgent()
        scope.reschedule(loop.time() + _CLOSE_SECONDS)

    try:
        async with asyncio.timeout(None) as scope:
            keeper = group.create_task(bound(scope), name="drain-limit")
            try:
                yield
            finally:
                keeper.cancel()
    except TimeoutError:
        if not stop.requested:
            raise
        log.warning("writes_left_unfinished")  # the journal says so, too


async def _wind_down(stop: StopSignal, client: ProcoreClient, manager: Manager) -> None:
    """Begin no refresh that the stop could cut off."""
    await stop.wait()
    manager.stopping()
    client.authenticator.wind_down()


def _first_report(policy: PolicyFile, catalog: Catalog, sealing_key: SealingKey) -> Report:
    return Report(
        machine=socket.gethostname()[:253],
        os=f"{platform.system()} {platform.release()}"[:200],
        version=VERSION,
        policy=policy.told(),
        upserts=catalog.upserts,
        sealing_key=to_text(sealing_key.public_key),
    )
