"""Producers and consumers in the broker's own process: no socket, the same log, groups, offsets and
transactions as those of network clients.
"""
