"""All links of a scenario under one time."""

from qhal_simulators.physics.ports import Part
from qhal_simulators.physics.world import World


class Worlds:
    """The links of a scenario by name, under one time. A part of one among several is called ``link.part``."""

    def __init__(self, links: dict[str, World]) -> None:
        self._links = links

    @property
    def pace_s(self) -> float:
        """Wall time after which a link is to be moved again."""
        return min(world.pace_s for world in self._links.values())

    def advance_to(self, t_s: float) -> None:
        """Advance all links to ``t_s``."""
        for world in self._links.values():
            world.advance_to(t_s)

    def part(self, name: str) -> Part:
        """Return a part by its full name. Raises KeyError for an unknown one."""
        link, _, part = name.rpartition(".")
        return self._links[link].part(part)

    def link(self, name: str) -> World:
        """Return a link. Raises ValueError naming the known ones."""
        if name not in self._links:
            raise ValueError(f"no link {name!r}; there are {', '.join(map(repr, self._links))}")
        return self._links[name]
