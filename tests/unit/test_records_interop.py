"""Our batches against those of other implementations, both ways."""

from typing import Any

import pytest
from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder
from kafka.record.default_records import DefaultRecordBatch as KafkaPythonBatch
from kafka.record.default_records import DefaultRecordBatchBuilder as KafkaPythonBuilder

from barnabas._records import encode_batch, iter_batches
from barnabas.log import Log

NOW_MS = 1_700_000_000_000
Content = tuple[bytes | None, bytes | None, int, tuple[tuple[str, bytes | None], ...]]
CONTENTS: list[Content] = [
    (b"key", b"value", NOW_MS, (("h", b"1"), ("empty", b""))),
    (None, b"x" * 100_000, NOW_MS + 1, ()),
    (b"tombstone", None, NOW_MS - 10, ()),
    *((b"%d" % i, b"value %d" % i, NOW_MS + i, ()) for i in range(500)),
]
CODECS = pytest.mark.parametrize("codec", range(5))
READERS = pytest.mark.parametrize("reader", [DefaultRecordBatch, KafkaPythonBatch])
BUILDERS = pytest.mark.parametrize("builder_class", [DefaultRecordBatchBuilder, KafkaPythonBuilder])


def build(builder_class: Any, codec: int) -> bytes:
    builder = builder_class(
        magic=2,
        compression_type=codec,
        is_transactional=False,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=-1,
        batch_size=1 << 20,
    )
    for offset, (key, value, timestamp, headers) in enumerate(CONTENTS):
        builder.append(offset, timestamp, key, value, list(headers))
    return bytes(builder.build())


@CODECS
@BUILDERS
def test_we_read_what_python_clients_write(builder_class: Any, codec: int) -> None:
    (batch,) = iter_batches(build(builder_class, codec))
    assert batch.codec == codec
    assert batch.crc_valid()
    assert [(r.key, r.value, r.timestamp, r.headers) for r in batch.records()] == CONTENTS


@CODECS
@READERS
def test_python_clients_read_what_we_write(reader: Any, codec: int) -> None:
    batch = reader(encode_batch(CONTENTS, codec=codec))
    assert batch.validate_crc()
    assert [(r.key, r.value, r.timestamp, tuple(r.headers)) for r in batch] == CONTENTS


@CODECS
@BUILDERS
def test_a_log_takes_what_python_clients_write(
    builder_class: Any, codec: int, tmp_path: Any
) -> None:
    with Log(tmp_path / "t-0") as log:
        assert log.append_batch(build(builder_class, codec)) == 0
        assert [(r.key, r.value, r.timestamp, r.headers) for r in log] == CONTENTS
