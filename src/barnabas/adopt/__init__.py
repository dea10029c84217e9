"""Takes over a data directory that Apache Kafka has made, so that Kafka can have it back.

metadata_log.py  reads Kafka's metadata log and its snapshots
image.py         what their records say, replayed
data_dir.py      what lies in the directory
plan.py          which topics and settings are adopted, and what is to be said
adoption.py      whether a directory is Kafka's; puts the plan into the store

Kafka's metadata is read, never written: topics, partitions and settings stay Kafka's to change.
"""
