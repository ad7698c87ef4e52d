"""Time tags: batches with their gaps, streams, files, a relay to other processes, and analysis.

A :class:`TagBatch` holds times and channels, the span that they cover, and the gaps in it. A tagger gives a
:class:`TagStream` of batches; :func:`open_tags` and :class:`TagWriter` read and write files; :class:`TagPublisher` and
:class:`TagSubscriber` pass a stream to other processes. Files and analysis need the extra ``tags``.
"""

from typing import TYPE_CHECKING

from qhal.late import late

if TYPE_CHECKING:
    from qhal.tags.analysis.correction import DeadTime, merged, with_delays
    from qhal.tags.analysis.correlation import CrossCorrelation, PairCounter, StartStop, TupleCounter
    from qhal.tags.analysis.rates import RateMeter
    from qhal.tags.batch import Gap, Loss, TagBatch
    from qhal.tags.formats import FORMATS, Format, TagFile, TagWriter, open_tags
    from qhal.tags.relay import TagPublisher, TagSubscriber
    from qhal.tags.stream import TagStream

__all__ = [
    "FORMATS",
    "CrossCorrelation",
    "DeadTime",
    "Format",
    "Gap",
    "Loss",
    "PairCounter",
    "RateMeter",
    "StartStop",
    "TagBatch",
    "TagFile",
    "TagPublisher",
    "TagStream",
    "TagSubscriber",
    "TagWriter",
    "TupleCounter",
    "merged",
    "open_tags",
    "with_delays",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = late(__name__, __file__)
