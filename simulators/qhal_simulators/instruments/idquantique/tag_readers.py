"""The tags of a Time Controller's inputs, for several readers at once."""

import numpy as np

from qhal_simulators.instruments.idquantique.event_times import NONE
from qhal_simulators.physics.readings import TaggerReadings, Tags


class TagReaders:
    """Distributes the tags of an input line to several readers; tags are recorded while there are any."""

    def __init__(self, readings: TaggerReadings) -> None:
        self._readings = readings
        self._readers: dict[object, list[Tags]] = {}

    def open(self, reader: object) -> None:
        """Begin to store tags for a reader."""
        self._readings.recording = True
        self._distribute()
        self._readers[reader] = []

    def close(self, reader: object) -> None:
        """End a reader."""
        self._readers.pop(reader, None)
        self._readings.recording = bool(self._readers)

    def take(self, reader: object) -> Tags:
        """Return the tags since the last call."""
        self._distribute()
        pieces, self._readers[reader] = self._readers[reader], []
        times = np.concatenate([NONE, *(times for times, _ in pieces)])
        return times, np.concatenate([np.empty(0, np.uint8), *(inputs for _, inputs in pieces)])

    def _distribute(self) -> None:
        tags = self._readings.take_tags()
        for pieces in self._readers.values():
            if len(tags[0]):
                pieces.append(tags)
