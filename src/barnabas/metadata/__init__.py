"""What the cluster is: topics, configuration, producer-id blocks; durable, and in memory.

store.py      MetadataStore: versioned compare-and-set of small documents
sqlite.py     the store of a lone broker
sqlite_check.py  whether it has what was put into it
records.py    the documents: topics, configurations, tombstones
topic_*.py    plans, changes and removal of topics
catalog.py    the cluster as it is now, in memory; every change goes to the store first
"""
