"""The built-in wirings of a Time Controller, which ``DEVIce:CONFiguration:LOAD`` takes.

The coincidences of COUNT follow from the vendor's example, which gives the delays and windows of each: with the
second input w, 2w, 3w later than the first through DELA6 to DELA8, every window is centred on equal times.
"""

from qhal_simulators.instruments.idquantique.blocks import BLOCKS, INPUTS

Values = dict[tuple[str, int, str], str]

NAMES = ("INIT", "HISTO", "COUNT", "BLANK")
_PAIRS = {6: (1, 2), 7: (1, 3), 8: (1, 4), 3: (2, 3), 4: (2, 4), 5: (3, 4)}
"""Combiner of each pair of inputs: the later-numbered one passes while the window of the other is open."""
_MULTIPLES = {13: (7, 6), 14: (8, 6), 15: (8, 7), 16: (4, 3), 24: (15, 6)}
"""Combiners of three and four inputs: which combiner passes while the window of which is open."""


def preset(name: str, gate: str) -> Values:
    """Return all settings of a wiring; BLANK leaves every link open. ``gate``: the block that gates records."""
    values = {
        (setting.block, n, setting.key): setting.parse(setting.default)
        for setting in BLOCKS.values()
        for n in range(1, setting.count + 1)
    }
    if name == "BLANK":
        return values
    for n in range(1, INPUTS + 1):
        values["DELA", n, "LINK"] = f"INPU{n}"
        values["TSCO", n + 4, "FIR:LINK"] = f"DELA{n}"
        values["HIST", n, "STOP:LINK"] = values["RAW", n, "STOP:LINK"] = f"TSCO{n + 4}"
        values["HIST", n, "ENAB:LINK"] = values["RAW", n, "ENAB:LINK"] = gate
    values["DELA", 5, "LINK"] = "STAR"
    if name == "COUNT":
        for n in range(2, INPUTS + 1):
            values["DELA", n + 4, "LINK"] = f"INPU{n}"
        for combiner, (first, second) in _PAIRS.items():
            _let_pass(values, combiner, f"DELA{second + 4}", f"DELA{first}")
        for combiner, (passing, opening) in _MULTIPLES.items():
            _let_pass(values, combiner, f"TSCO{passing}", f"TSCO{opening}")
    return values


def keep_inputs(values: Values, before: Values) -> Values:
    """Return a wiring with the input settings and the delays of the inputs from before."""
    kept = {
        key: value
        for key, value in before.items()
        if key[0] in ("INPU", "STAR") or (key[0] == "DELA" and key[1] <= INPUTS and key[2] == "VALU")
    }
    return values | kept


def _let_pass(values: Values, combiner: int, link: str, window: str) -> None:
    values["TSCO", combiner, "FIR:LINK"] = link
    values["TSCO", combiner, "OPOU"] = "MUTE"
    values["TSCO", combiner, "WIND:ENAB"] = "ON"
    values["TSCO", combiner, "WIND:BEGI:LINK"] = values["TSCO", combiner, "WIND:END:LINK"] = window
