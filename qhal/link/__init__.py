"""Analysis of a decoy-state BB84 link: from pattern and time tags to gains, error rates and bounds.

The sender plays a known repeating pattern (:mod:`pattern`, :mod:`modulation`). Tags are put on the
sender's clock (:mod:`skew`, :mod:`sync`), counted per intensity (:mod:`sifting`) and evaluated
(:mod:`estimates`, :mod:`decoy`); :mod:`polarization` aligns the receiver. A known pattern is for test
and calibration only: no key is made from it.
"""
