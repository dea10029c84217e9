"""The names of the topics that brokers keep for themselves. Imports nothing."""

from typing import Final

CONSUMER_OFFSETS: Final = "__consumer_offsets"
TRANSACTION_STATE: Final = "__transaction_state"
CLUSTER_METADATA: Final = "__cluster_metadata"
"""Kafka's controllers keep their log under this name; a directory of it marks Kafka's own data."""
SHARE_GROUP_STATE: Final = "__share_group_state"
INTERNAL_TOPICS: Final = frozenset({CONSUMER_OFFSETS, TRANSACTION_STATE, SHARE_GROUP_STATE})
"""Topics that only brokers write to; Produce (produce_job.cc) names the same."""
