"""Group members as programs, one per Python client: `MEMBER BOOTSTRAP TOPIC GROUP`.

Each prints a JSON line per assignment (`{"assigned": [partitions]}`) and per record
(`{"value": …}`), and commits and leaves at SIGTERM.
"""
