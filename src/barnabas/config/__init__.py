"""Configuration: Kafka's keys, defaults, validation and precedence.

    keys.py           what a key is: type, default, validator, synonyms, when it may change
    validators.py     Kafka's checks and their messages
    topic_keys.py     the keys of a topic
    broker_keys.py    the keys of a broker that are used here
    kafka_keys.py     the names of Kafka's other broker keys: accepted, with a warning
    properties.py     server.properties files
    listeners.py      where to listen and what to advertise
    broker_config.py  the layers: dynamic, static, default; what is in force and where it is from

Differences from Kafka, on purpose: a listener off loopback needs `allow.insecure.listeners=true` as
long as there is no authentication; replication factors of internal topics default to the number of
brokers, if that is less than Kafka's default; one data directory; thread pools keep their size.
"""
