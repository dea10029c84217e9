"""Glue over kio, which has the schemas of Kafka's messages.

apis.py      the one table of APIs and versions
codec.py     requests from bytes, responses to bytes
encoder.py   encodes kio's schema classes from keyword fields
internal/    the records of internal topics, which kio lacks
"""
