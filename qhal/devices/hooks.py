"""The private methods by which a driver identifies, describes and prepares its unit; a session calls them."""

from abc import abstractmethod
from typing import ClassVar

from qhal.devices.declaration import Declaration, Identity
from qhal.devices.described import Described
from qhal.transport.proof import Proof


class Hooks(Described):
    """What a session needs of a device. The hooks are called in the order in which they stand here."""

    declaration: ClassVar[Declaration]

    name: str

    @property
    @abstractmethod
    def parts(self) -> tuple[Described, ...]:
        """The device itself and its sub-devices."""

    def _align(self) -> None:
        """End a request that another program left incomplete, on a connection that outlives its clients."""

    def _proofs(self) -> tuple[Proof, ...]:
        """Return at least two queries on the main connection whose replies fit no other request.

        Needed on a serial line, where a late reply cannot be called back: without them only the declared delay of
        the line keeps it from the next query.
        """
        return ()

    def _start(self) -> None:
        """Bring a freshly opened connection into a known state, before the first query."""

    @abstractmethod
    def _identify(self) -> Identity:
        """Read the identity of the instrument. Raises WrongDevice for another model."""

    @abstractmethod
    def _resynchronise(self) -> None:
        """Check, after a time-out on the main connection, that it still leads to this unit and can be used."""

    def _before_close(self) -> None:
        """End what runs in the background, without the lock. Must not raise for a lost connection."""
