"""The one table of the APIs this broker serves. It drives dispatch and ApiVersions alike.

What is not in the table is not advertised, and a request for it closes the connection. The
ranges are Apache Kafka 4.3's. Imports nothing of ours.
"""

from typing import Final, NamedTuple

NATIVE: Final = "native"
"""Instead of a handler module: served by the data plane, never seen by the broker loop."""


class Api(NamedTuple):
    """An API key, the versions served, and the module that handles it."""

    key: int
    name: str
    min_version: int
    max_version: int
    handler: str

    @property
    def is_native(self) -> bool:
        """Whether the data plane answers it."""
        return self.handler == NATIVE


APIS: Final = (
    # Kafka advertises Produce 0-2 and refuses them: librdkafka disables features without them.
    Api(0, "Produce", 0, 13, NATIVE),
    Api(1, "Fetch", 4, 18, NATIVE),
    Api(2, "ListOffsets", 1, 11, "barnabas.handlers.list_offsets"),
    Api(3, "Metadata", 0, 13, "barnabas.handlers.metadata"),
    Api(8, "OffsetCommit", 2, 10, "barnabas.handlers.offset_commit"),
    Api(9, "OffsetFetch", 1, 10, "barnabas.handlers.offset_fetch"),
    Api(10, "FindCoordinator", 0, 6, "barnabas.handlers.find_coordinator"),
    Api(11, "JoinGroup", 0, 9, "barnabas.handlers.join_group"),
    Api(12, "Heartbeat", 0, 4, "barnabas.handlers.heartbeat"),
    Api(13, "LeaveGroup", 0, 5, "barnabas.handlers.leave_group"),
    Api(14, "SyncGroup", 0, 5, "barnabas.handlers.sync_group"),
    Api(15, "DescribeGroups", 0, 6, "barnabas.handlers.describe_groups"),
    Api(16, "ListGroups", 0, 5, "barnabas.handlers.list_groups"),
    Api(18, "ApiVersions", 0, 4, "barnabas.handlers.api_versions"),
    Api(19, "CreateTopics", 2, 7, "barnabas.handlers.create_topics"),
    Api(20, "DeleteTopics", 1, 6, "barnabas.handlers.delete_topics"),
    Api(21, "DeleteRecords", 0, 2, "barnabas.handlers.delete_records"),
    Api(22, "InitProducerId", 0, 5, "barnabas.handlers.init_producer_id"),
    Api(23, "OffsetForLeaderEpoch", 2, 4, "barnabas.handlers.offset_for_leader_epoch"),
    Api(24, "AddPartitionsToTxn", 0, 5, "barnabas.handlers.add_partitions_to_txn"),
    Api(25, "AddOffsetsToTxn", 0, 4, "barnabas.handlers.add_offsets_to_txn"),
    Api(26, "EndTxn", 0, 5, "barnabas.handlers.end_txn"),
    Api(27, "WriteTxnMarkers", 1, 2, "barnabas.handlers.write_txn_markers"),
    Api(28, "TxnOffsetCommit", 0, 5, "barnabas.handlers.txn_offset_commit"),
    Api(32, "DescribeConfigs", 1, 4, "barnabas.handlers.describe_configs"),
    Api(33, "AlterConfigs", 0, 2, "barnabas.handlers.alter_configs"),
    Api(34, "AlterReplicaLogDirs", 1, 2, "barnabas.handlers.alter_replica_log_dirs"),
    Api(35, "DescribeLogDirs", 1, 5, "barnabas.handlers.describe_log_dirs"),
    Api(37, "CreatePartitions", 0, 3, "barnabas.handlers.create_partitions"),
    Api(42, "DeleteGroups", 0, 2, "barnabas.handlers.delete_groups"),
    Api(44, "IncrementalAlterConfigs", 0, 1, "barnabas.handlers.incremental_alter_configs"),
    Api(47, "OffsetDelete", 0, 0, "barnabas.handlers.offset_delete"),
    Api(60, "DescribeCluster", 0, 2, "barnabas.handlers.describe_cluster"),
    Api(61, "DescribeProducers", 0, 0, "barnabas.handlers.describe_producers"),
    Api(65, "DescribeTransactions", 0, 0, "barnabas.handlers.describe_transactions"),
    Api(66, "ListTransactions", 0, 2, "barnabas.handlers.list_transactions"),
    Api(74, "ListConfigResources", 0, 1, "barnabas.handlers.list_config_resources"),
    Api(75, "DescribeTopicPartitions", 0, 0, "barnabas.handlers.describe_topic_partitions"),
)

API_VERSIONS_KEY: Final = 18

API_BY_KEY: Final = {api.key: api for api in APIS}
