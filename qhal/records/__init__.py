"""Calibration records: a value with its uncertainty, how it came about, and how long it may be believed.

:mod:`record` is the schema, :mod:`hdf5` the file (:mod:`columns` of it, behind a :mod:`seal`), :mod:`store` a folder of
them, :mod:`validity` says whether a record still holds. :mod:`uncertain` keeps statistical and systematic
contributions apart.
"""
