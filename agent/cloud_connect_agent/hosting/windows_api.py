"""Services, their settings and their event log: the calls to Windows, and nothing that decides.

What is set is decided in ``windows_settings``; here it is handed to Windows and read back. Imported
anywhere, called on Windows only.
"""

import contextlib
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from cloud_connect.errors import CloudConnectError
from cloud_connect_agent.hosting import windows_security
from cloud_connect_agent.hosting.windows_machine import RunningState, UnknownSettingError
from cloud_connect_agent.hosting.windows_registry import (
    forget_message_file,
    register_environment,
    register_message_file,
    registered_environment,
    registered_message_file,
    told,
)
from cloud_connect_agent.hosting.windows_sddl import AccessList
from cloud_connect_agent.hosting.windows_security import windows_errors
from cloud_connect_agent.hosting.windows_settings import Recovery, ServiceSettings, Setting

if TYPE_CHECKING:
    import _win32typing

__all__ = ["Windows"]

_INVALID_LEVEL: Final = 124  # ERROR_INVALID_LEVEL: a setting that came later than this Windows
_NEVER_STARTED: Final = 1077  # ERROR_SERVICE_NEVER_STARTED: no failure
_NO_SUCH_SERVICE: Final = 1060  # ERROR_SERVICE_DOES_NOT_EXIST
_START_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 60.0  # the service finishes running calls for 25
_POLL_SECONDS: Final = 0.2
_SID_TYPES: Final = {0: "none", 1: "unrestricted", 3: "restricted"}
_RUNNING_WORDS: Final = {1: "stopped", 2: "starting", 3: "stopping", 4: "running"}
_BASIC: Final = frozenset({Setting.IMAGE, Setting.ACCOUNT, Setting.TITLE, Setting.START})
_SPECIFIC: Final = 1066  # ERROR_SERVICE_SPECIFIC_ERROR: the service's own number says more


class Windows:
    """The Windows that this process runs on."""

    def administrator(self) -> bool:
        """Whether this process may change services."""
        return windows_security.is_administrator()

    def own_account(self) -> str:
        """Return the SID of the account that runs this."""
        return windows_security.own_account()

    def message_file(self) -> str:
        """Return the file with the texts of the event log's entries."""
        import servicemanager

        return servicemanager.__file__

    def access(self, path: str) -> AccessList | None:
        """Return owner and list of a file or folder."""
        return windows_security.access_of(path)

    def make_folder(self, path: str, access: AccessList) -> None:
        """Make a folder that is never without its list."""
        windows_security.make_folder(path, access)

    def set_access(self, path: str, access: AccessList) -> None:
        """Give a file or folder this owner and list."""
        windows_security.set_access(path, access)

    def settings(self, name: str) -> ServiceSettings | None:
        """Read back all settings of a service."""
        import win32service as api

        with (
            windows_errors(f"tell how {name} is set up"),
            _service(name, api.SERVICE_QUERY_CONFIG) as service,
        ):
            if service is None:
                return None
            _, start, _, image, _, _, _, account, title = api.QueryServiceConfig(service)

            def read(level: int) -> object:
                return told(lambda: api.QueryServiceConfig2(service, level))

            sid_type = read(api.SERVICE_CONFIG_SERVICE_SID_INFO)
            privileges = read(api.SERVICE_CONFIG_REQUIRED_PRIVILEGES_INFO)
            preshutdown = read(api.SERVICE_CONFIG_PRESHUTDOWN_INFO)
            description = read(api.SERVICE_CONFIG_DESCRIPTION)
            return ServiceSettings(
                image=image,
                account=account,
                title=title,
                description=description if isinstance(description, str) else None,
                automatic=start == api.SERVICE_AUTO_START,
                delayed=_flag(read(api.SERVICE_CONFIG_DELAYED_AUTO_START_INFO)),
                recovery=_recovery(read(api.SERVICE_CONFIG_FAILURE_ACTIONS)),
                recovers_from_exits=_flag(read(api.SERVICE_CONFIG_FAILURE_ACTIONS_FLAG)),
                sid_type=_SID_TYPES.get(sid_type) if isinstance(sid_type, int) else None,
                privileges=tuple(privileges) if isinstance(privileges, list | tuple) else None,
                preshutdown_seconds=preshutdown / 1000 if isinstance(preshutdown, int) else None,
                environment=registered_environment(name),
                message_file=registered_message_file(name),
            )

    def create(self, name: str, settings: ServiceSettings) -> None:
        """Register a service."""
        import win32service as api

        with windows_errors(f"register the service {name}"), _manager() as manager:
            made = api.CreateService(
                manager,
                name,
                settings.title,
                api.SERVICE_QUERY_CONFIG,
                api.SERVICE_WIN32_OWN_PROCESS,
                api.SERVICE_AUTO_START,
                api.SERVICE_ERROR_NORMAL,
                settings.image,
                None,
                False,
                None,
                settings.account,
                None,  # a service's own account has no password
            )
            api.CloseServiceHandle(made)

    def change(self, name: str, setting: Setting, settings: ServiceSettings) -> None:
        """Set one setting of a service."""
        import win32service as api

        # SERVICE_START: Windows wants it from whoever has a service restarted.
        rights = api.SERVICE_CHANGE_CONFIG | api.SERVICE_START
        with windows_errors(f"set the {setting} of {name}"), _service(name, rights) as service:
            if service is None:
                raise CloudConnectError(f"The service {name} is not installed.")
            if setting is Setting.ENVIRONMENT:
                register_environment(name, settings.environment)
            elif setting is Setting.EVENT_SOURCE:
                register_message_file(name, settings.message_file or "")
            elif setting in _BASIC:
                _change_basic(service, setting, settings)
            else:
                _change_further(service, setting, settings)

    def delete(self, name: str) -> None:
        """Remove a service, and its source in the event log."""
        import win32service as api

        rights = 0x10000  # DELETE
        with windows_errors(f"remove the service {name}"), _service(name, rights) as service:
            if service is not None:
                api.DeleteService(service)
        forget_message_file(name)

    def state(self, name: str) -> RunningState | None:
        """Return whether a service runs."""
        import win32service as api

        with (
            windows_errors(f"tell how {name} fares"),
            _service(name, api.SERVICE_QUERY_STATUS) as service,
        ):
            if service is None:
                return None
            # The stub knows a structure where pywin32 makes a tuple, and here a mapping.
            _, state, _, code, specific, _, _ = tuple(api.QueryServiceStatus(service))  # type: ignore[var-annotated, arg-type]
            word = _RUNNING_WORDS.get(state, "running")
            return RunningState(
                word=word,
                pid=None if word == "stopped" else _pid_of(service),
                exit_status={_SPECIFIC: specific, _NEVER_STARTED: 0}.get(code, code),
            )

    def start(self, name: str) -> None:
        """Start a service; return when it runs."""
        import pywintypes
        import win32service as api

        running_already = 1056  # ERROR_SERVICE_ALREADY_RUNNING
        with windows_errors(f"start {name}"), _service(name, api.SERVICE_START) as service:
            if service is None:
                raise CloudConnectError(f"The service {name} is not installed.")
            try:
                api.StartService(service, None)
            except pywintypes.error as exc:
                if exc.winerror != running_already:
                    raise
        state = self._settled(name, "starting", seconds=_START_SECONDS)
        if state.word != "running":
            raise CloudConnectError(
                f"{name} did not start ({state.word}, exit status {state.exit_status}); the event "
                "log and `cloud-connect logs` say why."
            )

    def stop(self, name: str) -> None:
        """Stop a service; return when its process has ended."""
        import win32service as api

        before = self.state(name)
        with (
            _process(before.pid if before else None) as process,
            windows_errors(f"stop {name}"),
            _service(name, api.SERVICE_STOP) as service,
        ):
            if service is None:
                return
            api.ControlService(service, api.SERVICE_CONTROL_STOP)
            state = self._settled(name, "stopping", "running", seconds=_STOP_SECONDS)
            if state.word != "stopped":
                raise CloudConnectError(f"{name} is still {state.word}; try again in a minute.")
            _wait_for(process)

    def _settled(self, name: str, *passing: str, seconds: float) -> RunningState:
        deadline = time.monotonic() + seconds
        while True:
            state = self.state(name) or RunningState(word="stopped")
            if state.word not in passing or time.monotonic() >= deadline:
                return state
            time.sleep(_POLL_SECONDS)


@contextlib.contextmanager
def _manager() -> Iterator["_win32typing.PySC_HANDLE"]:
    import win32service as api

    manager = api.OpenSCManager(None, None, api.SC_MANAGER_CONNECT | api.SC_MANAGER_CREATE_SERVICE)
    try:
        yield manager
    finally:
        api.CloseServiceHandle(manager)


@contextlib.contextmanager
def _service(name: str, rights: int) -> Iterator["_win32typing.PySC_HANDLE | None"]:
    import pywintypes
    import win32service as api

    manager = api.OpenSCManager(None, None, api.SC_MANAGER_CONNECT)
    try:
        try:
            service = api.OpenService(manager, name, rights)
        except pywintypes.error as exc:
            if exc.winerror != _NO_SUCH_SERVICE:
                raise
            yield None
            return
        try:
            yield service
        finally:
            api.CloseServiceHandle(service)
    finally:
        api.CloseServiceHandle(manager)


def _change_basic(
    service: "_win32typing.PySC_HANDLE", setting: Setting, settings: ServiceSettings
) -> None:
    import win32service as api

    same = api.SERVICE_NO_CHANGE
    api.ChangeServiceConfig(
        service,
        same,
        api.SERVICE_AUTO_START if setting is Setting.START else same,
        same,
        settings.image if setting is Setting.IMAGE else None,
        None,
        False,
        None,
        settings.account if setting is Setting.ACCOUNT else None,
        None,
        settings.title if setting is Setting.TITLE else None,
    )


def _change_further(
    service: "_win32typing.PySC_HANDLE", setting: Setting, settings: ServiceSettings
) -> None:
    import pywintypes
    import win32service as api

    level, value = _further(settings)[setting]
    try:
        api.ChangeServiceConfig2(service, level, value)
    except pywintypes.error as exc:
        if exc.winerror != _INVALID_LEVEL:
            raise
        raise UnknownSettingError(f"This Windows has no setting like {setting}.") from exc


def _further(settings: ServiceSettings) -> dict[Setting, tuple[int, object]]:
    import win32service as api

    milliseconds = round((settings.preshutdown_seconds or 0.0) * 1000)
    return {
        Setting.DESCRIPTION: (api.SERVICE_CONFIG_DESCRIPTION, settings.description),
        Setting.DELAYED: (api.SERVICE_CONFIG_DELAYED_AUTO_START_INFO, settings.delayed),
        Setting.RECOVERY: (api.SERVICE_CONFIG_FAILURE_ACTIONS, _actions(settings.recovery)),
        Setting.FAILURE_FLAG: (
            api.SERVICE_CONFIG_FAILURE_ACTIONS_FLAG,
            settings.recovers_from_exits,
        ),
        Setting.SID_TYPE: (api.SERVICE_CONFIG_SERVICE_SID_INFO, api.SERVICE_SID_TYPE_UNRESTRICTED),
        Setting.PRIVILEGES: (api.SERVICE_CONFIG_REQUIRED_PRIVILEGES_INFO, settings.privileges),
        Setting.PRESHUTDOWN: (api.SERVICE_CONFIG_PRESHUTDOWN_INFO, milliseconds),
    }


@contextlib.contextmanager
def _process(pid: int | None) -> Iterator[int | None]:
    import pywintypes
    import win32api

    synchronize = 0x100000
    process = None
    if pid is not None:
        with contextlib.suppress(pywintypes.error):  # it has ended, or is not ours to wait for
            process = win32api.OpenProcess(synchronize, False, pid)
    try:
        yield process
    finally:
        if process is not None:
            win32api.CloseHandle(process)


def _pid_of(service: "_win32typing.PySC_HANDLE") -> int | None:
    import win32service as api

    status: object = told(lambda: api.QueryServiceStatusEx(service))
    return status.get("ProcessId") or None if isinstance(status, dict) else None


def _wait_for(process: int | None) -> None:
    import win32event

    if process is not None:
        win32event.WaitForSingleObject(process, round(_STOP_SECONDS * 1000))


def _flag(value: object) -> bool | None:
    return bool(value) if isinstance(value, int) else None


def _recovery(value: object) -> Recovery | None:
    import win32service as api

    if not isinstance(value, dict):
        return None
    actions = value.get("Actions") or ()
    return Recovery(
        restart_after=tuple(
            delay / 1000 for kind, delay in actions if kind == api.SC_ACTION_RESTART
        ),
        forget_after=float(value.get("ResetPeriod") or 0),
    )


def _actions(recovery: Recovery | None) -> dict[str, object]:
    import win32service as api

    recovery = recovery or Recovery(restart_after=(), forget_after=0.0)
    return {
        "ResetPeriod": round(recovery.forget_after),
        "RebootMsg": "",
        "Command": "",
        "Actions": [
            (api.SC_ACTION_RESTART, round(seconds * 1000)) for seconds in recovery.restart_after
        ],
    }
