"""A Windows that keeps what it is told: services, their settings, folders with their lists.

It forgets what an old Windows does not know, refuses where asked to, and notes each call, so that
an installation can be looked at where there is no Windows.
"""

from dataclasses import dataclass, field, replace
from typing import Final

from cloud_connect.errors import CloudConnectError
from cloud_connect_agent.hosting.windows_access import ADMINISTRATORS, SYSTEM
from cloud_connect_agent.hosting.windows_machine import RunningState, UnknownSettingError
from cloud_connect_agent.hosting.windows_sddl import AccessList
from cloud_connect_agent.hosting.windows_settings import Recovery, ServiceSettings, Setting

PROGRAMS: Final = AccessList.of("O:BAD:PAI(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;0x1200a9;;;BU)")
MESSAGES: Final = r"C:\Program Files\Cloud Connect\python\servicemanager.pyd"
# What CreateService leaves behind: each setting that it has no word for.
FRESH: Final = ServiceSettings(
    image="",
    account="LocalSystem",
    title="",
    description=None,
    automatic=True,
    delayed=False,
    recovery=Recovery(restart_after=(), forget_after=0.0),
    recovers_from_exits=False,
    sid_type="none",
    privileges=(),
    preshutdown_seconds=180.0,
    environment=(),
    message_file=None,
)
FIELDS: Final = {
    Setting.IMAGE: "image",
    Setting.ACCOUNT: "account",
    Setting.TITLE: "title",
    Setting.DESCRIPTION: "description",
    Setting.START: "automatic",
    Setting.DELAYED: "delayed",
    Setting.RECOVERY: "recovery",
    Setting.FAILURE_FLAG: "recovers_from_exits",
    Setting.SID_TYPE: "sid_type",
    Setting.PRIVILEGES: "privileges",
    Setting.PRESHUTDOWN: "preshutdown_seconds",
    Setting.ENVIRONMENT: "environment",
    Setting.EVENT_SOURCE: "message_file",
}


@dataclass
class FakeWindows:
    """One of them."""

    elevated: bool = True
    starts: bool = True
    lacks: frozenset[Setting] = frozenset()
    services: dict[str, ServiceSettings] = field(default_factory=dict)
    states: dict[str, RunningState] = field(default_factory=dict)
    lists: dict[str, AccessList] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)

    def administrator(self) -> bool:
        return self.elevated

    def own_account(self) -> str:
        return ADMINISTRATORS if self.elevated else "S-1-5-21-1-2-3-1001"

    def message_file(self) -> str:
        return MESSAGES

    def settings(self, name: str) -> ServiceSettings | None:
        return self.services.get(name)

    def create(self, name: str, settings: ServiceSettings) -> None:
        self.calls.append(f"create {name}")
        assert name not in self.services
        self.services[name] = replace(
            FRESH, image=settings.image, account=settings.account, title=settings.title
        )
        for setting in self.lacks:
            self.lose(name, setting, None)
        self.states[name] = RunningState(word="stopped")

    def change(self, name: str, setting: Setting, settings: ServiceSettings) -> None:
        self.calls.append(f"set {setting}")
        if setting in self.lacks:
            raise UnknownSettingError(f"This Windows has no setting like {setting}.")
        attribute = FIELDS[setting]
        change = {attribute: getattr(settings, attribute)}
        self.services[name] = replace(self.services[name], **change)

    def delete(self, name: str) -> None:
        self.calls.append(f"delete {name}")
        del self.services[name], self.states[name]

    def state(self, name: str) -> RunningState | None:
        return self.states.get(name)

    def start(self, name: str) -> None:
        self.calls.append(f"start {name}")
        if not self.starts:
            raise CloudConnectError(f"{name} did not start.")
        self.states[name] = RunningState(word="running", pid=4711)

    def stop(self, name: str) -> None:
        self.calls.append(f"stop {name}")
        self.states[name] = RunningState(word="stopped")

    def access(self, path: str) -> AccessList | None:
        return self.lists.get(path)

    def make_folder(self, path: str, access: AccessList) -> None:
        self.calls.append(f"make {path}")
        assert path not in self.lists
        self.lists[path] = access

    def set_access(self, path: str, access: AccessList) -> None:
        self.calls.append(f"protect {path}")
        self.lists[path] = access

    def remove(self, path: str) -> None:
        del self.lists[path]

    def lose(self, name: str, setting: Setting, value: object) -> None:
        """Have somebody else change a setting."""
        change = {FIELDS[setting]: value}
        self.services[name] = replace(self.services[name], **change)  # type: ignore[arg-type] # by name


STRANGER: Final = AccessList.of("O:S-1-5-21-9-9-9-1001D:(A;OICI;FA;;;WD)")
SYSTEMS: Final = AccessList(owner=SYSTEM)
