"""Producers and consumers in the broker's own process: no socket, the same log, groups, offsets and
transactions as those of network clients.
"""

import barnabas.quick_kio  # noqa: F401 (before kio)
