"""Records of the internal topics, as kio entities.

They are Kafka's own (`group-coordinator/src/main/resources/common/message`); kio has only the
protocol's messages. A key starts with a version that names its type, a value with its version.
"""
