"""Progress of a record: which sub-record is under way."""

from dataclasses import dataclass

from qhal_simulators.instruments.idquantique.setting_forms import LONGEST_PS


@dataclass(slots=True, kw_only=True)
class RecordProgress:
    """Sub-record ``index`` of ``number`` (None: endless); times by the unit's clock."""

    is_playing: bool = False
    base_ps: int = 0
    index: int = 0
    width_ps: int = LONGEST_PS
    period_ps: int = LONGEST_PS
    number: int | None = 1

    def begin(self, base_ps: int, width_ps: int, period_ps: int, number: int | None) -> None:
        """Begin the first sub-record."""
        self.is_playing, self.base_ps, self.index = True, base_ps, 0
        self.width_ps, self.period_ps, self.number = width_ps, period_ps, number

    @property
    def begin_ps(self) -> int:
        """Begin of the sub-record."""
        return self.base_ps + self.index * self.period_ps

    @property
    def stop_ps(self) -> int:
        """End of the sub-record."""
        return self.begin_ps + self.width_ps

    @property
    def start_ps(self) -> int | None:
        """Begin of the sub-record under way; None without one."""
        return self.begin_ps if self.is_playing else None

    @property
    def is_over(self) -> bool:
        """Whether no sub-record is left."""
        return self.number is not None and self.index >= self.number
