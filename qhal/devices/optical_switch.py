"""Optical switches: which ingress is connected to which egress, who owns a path, and no silent moves."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

from qhal.devices.declaration import Capabilities
from qhal.devices.interface import Interface, SafeState, is_port
from qhal.devices.status import Snapshot, Status
from qhal.errors import Busy, DeviceError, OutOfRange, ProtocolError, Unsupported


class OpticalSwitchCapabilities(Capabilities):
    """Port numbers of the two sides of a switch, and how it moves.

    ``can_be_dark``: a port may be connected to nothing. ``boot_mode``: how the unit names the pattern that it takes at
    power-up. ``settle_s``: time of a reconfiguration.
    """

    ingress: tuple[int, ...]
    egress: tuple[int, ...]
    can_be_dark: bool
    boot_mode: str
    settle_s: float


class OpticalSwitchStatus(Status):
    """``pattern`` maps ingress to egress (None: unknown); ``reserved`` names the owner of an ingress."""

    pattern: dict[int, int] | None
    reserved: dict[int, str]


class OpticalSwitch(Interface[OpticalSwitchCapabilities, OpticalSwitchStatus]):
    """An N x M switch. A port in use is never moved by connecting another one to its partner."""

    traffic_ports: frozenset[int]

    def __init__(self) -> None:
        super().__init__()
        self.traffic_ports = frozenset()
        """Ports of paths that carry a customer's traffic: making safe leaves their connections alone."""
        self._reserved: dict[int, str] = {}

    def read_pattern(self) -> dict[int, int]:
        """Return which ingress is connected to which egress. Raises ProtocolError for an absent port."""
        with self.device.locked():
            return self._pattern()

    def connect(self, ingress: int, egress: int, *, owner: str = "") -> None:
        """Connect two ports that are free (or connected so already) and keep everything else.

        Raises Unsupported for a pair that the unit lacks, Busy when a port is in use or reserved by another owner,
        DeviceError when the switch does not show the connection afterwards.
        """
        self._check_pair(ingress, egress)
        with self.device.exclusive("connect", (ingress, egress)):
            before = self._pattern()
            if before.get(ingress) == egress:
                return
            for port, partner in before.items():
                if port == ingress or partner == egress:
                    raise Busy(f"{self.device.name}: {port} is connected to {partner}; disconnect it first")
            self._refuse_reserved({ingress}, owner)
            self._add(ingress, egress)
            self._confirm({**before, ingress: egress})

    def disconnect(self, ingress: int, *, owner: str = "") -> None:
        """Disconnect an ingress. Raises Unsupported when the switch cannot be dark, Busy, DeviceError."""
        if not self.capabilities.can_be_dark:
            raise Unsupported(f"{self.device.name}: a port of this switch is always connected to something")
        self._check_port(ingress, self.capabilities.ingress, "ingress")
        with self.device.exclusive("disconnect", ingress):
            before = self._pattern()
            if ingress not in before:
                return
            self._refuse_reserved({ingress}, owner)
            self._remove(ingress)
            self._confirm({port: partner for port, partner in before.items() if port != ingress})

    def set_pattern(self, pairs: Mapping[int, int], *, owner: str = "") -> None:
        """Replace the whole pattern at once. Raises Unsupported, Busy, DeviceError as ``connect`` does."""
        if not isinstance(pairs, Mapping):
            raise OutOfRange(
                f"{self.device.name}: pattern {pairs!r}; a mapping of ingress to egress is needed"
            )
        for ingress, egress in pairs.items():
            self._check_pair(ingress, egress)
        if len(set(pairs.values())) != len(pairs):
            raise Unsupported(f"{self.device.name}: two ingress ports on one egress in {dict(pairs)}")
        if not pairs and not self.capabilities.can_be_dark:
            raise Unsupported(f"{self.device.name}: a port of this switch is always connected to something")
        with self.device.exclusive("set_pattern", dict(pairs)):
            before = self._pattern()
            changed = {p for p in {*before, *pairs} if before.get(p) != pairs.get(p)}
            self._refuse_reserved(changed, owner)
            if changed:
                self._replace(dict(pairs))
                self._confirm(dict(pairs))

    def reserve(self, ingress: int, owner: str) -> None:
        """Let only ``owner`` change what an ingress is connected to. Raises Busy, Unsupported."""
        self._check_port(ingress, self.capabilities.ingress, "ingress")
        with self.device.locked():
            self._refuse_reserved({ingress}, owner)
            self._reserved[ingress] = owner

    def release(self, owner: str) -> None:
        """Give up all paths of an owner."""
        with self.device.locked():
            self._reserved = {port: name for port, name in self._reserved.items() if name != owner}

    def _make_safe(self) -> SafeState:
        """Disconnect everything but traffic, reserved or not, if the switch can be dark."""
        if not self.capabilities.can_be_dark:
            return SafeState.UNTOUCHED
        with self.device.exclusive("make_safe"):
            before = self._read_pattern() if self.traffic_ports else {}
            traffic = {i: e for i, e in before.items() if not self.traffic_ports.isdisjoint((i, e))}
            if self.traffic_ports:
                for ingress in before.keys() - traffic.keys():
                    self._remove(ingress)
            else:
                self._replace({})
            self._confirm(traffic)
        return SafeState.VERIFIED

    def status(self) -> OpticalSwitchStatus:
        """Return one snapshot."""
        with self.device.locked():
            snapshot = Snapshot()
            return snapshot.taken(
                OpticalSwitchStatus, pattern=snapshot.read(self._pattern), reserved=dict(self._reserved)
            )

    def _pattern(self) -> dict[int, int]:
        pattern, limits = self._read_pattern(), self.capabilities
        strange = (set(pattern) - set(limits.ingress)) | (set(pattern.values()) - set(limits.egress))
        if strange or len(set(pattern.values())) != len(pattern):
            raise ProtocolError(
                f"{self.device.name}: the pattern reads {pattern}, which this switch cannot have"
            )
        return pattern

    def _check_pair(self, ingress: int, egress: int) -> None:
        self._check_port(ingress, self.capabilities.ingress, "ingress")
        self._check_port(egress, self.capabilities.egress, "egress")

    def _check_port(self, port: int, ports: tuple[int, ...], side: str) -> None:
        if not is_port(port, ports):
            raise Unsupported(
                f"{self.device.name}: no {side} port {port!r}; there are {ports[0]} to {ports[-1]}"
            )

    def _refuse_reserved(self, ports: set[int], owner: str) -> None:
        for port in ports:
            holder = self._reserved.get(port, owner)
            if holder != owner:
                raise Busy(f"{self.device.name}: ingress {port} is reserved by {holder!r}")

    def _confirm(self, target: dict[int, int]) -> None:
        self.device.clock.sleep_s(self.capabilities.settle_s)
        pattern = self._pattern()
        self.device.note_settings(pattern=pattern)
        if pattern != target:
            raise DeviceError(f"{self.device.name}: the pattern is {pattern} after setting {target}")

    def _read_settings(self) -> dict[str, Any]:
        return {"pattern": self.device.known(self._pattern)}

    @abstractmethod
    def _read_pattern(self) -> dict[int, int]:
        """Read the pattern, ingress to egress."""

    @abstractmethod
    def _add(self, ingress: int, egress: int) -> None:
        """Add one connection."""

    @abstractmethod
    def _remove(self, ingress: int) -> None:
        """Remove one connection."""

    @abstractmethod
    def _replace(self, pairs: dict[int, int]) -> None:
        """Replace the whole pattern."""
