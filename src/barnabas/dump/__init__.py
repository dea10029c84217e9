"""Reads the files of a data directory, Kafka's and ours alike, and finds what is damaged.

One module a file format, each with the layout in its docstring. A reader is a generator of
findings: `Entry` for what is there, `Damage` for what should not be. It never changes a file, and
never stops at damage that it can read past.
"""
