"""A Produce request made by hand, for batches that no client would send."""

import socket
import struct
from dataclasses import dataclass
from datetime import timedelta
from io import BytesIO

from kio.schema.produce.v11.request import PartitionProduceData, ProduceRequest, TopicProduceData
from kio.schema.produce.v11.response import ProduceResponse
from kio.schema.types import TopicName
from kio.serial import entity_reader, entity_writer
from kio.static.primitive import Records, i16, i32, i32Timedelta

from barnabas.closing import Closing

_PRODUCE, _VERSION = 0, 11
_TIMEOUT_S = 30


@dataclass(frozen=True)
class ProduceResult:
    error_code: int
    base_offset: int
    error_message: str | None
    record_errors: tuple[tuple[int, str | None], ...]


class ProduceClient(Closing):
    """One connection; one request at a time."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=_TIMEOUT_S)

    def close(self) -> None:
        self._socket.close()

    def produce(self, topic: str, records: bytes) -> ProduceResult:
        """Sends `records` to partition 0 with acks=all."""
        partition = PartitionProduceData(index=i32(0), records=Records(records))
        request = ProduceRequest(
            acks=i16(-1),
            timeout=i32Timedelta.parse(timedelta(seconds=_TIMEOUT_S)),
            topic_data=(TopicProduceData(name=TopicName(topic), partition_data=(partition,)),),
        )
        out = BytesIO()
        out.write(struct.pack(">hhih4sx", _PRODUCE, _VERSION, 1, 4, b"test"))
        entity_writer(ProduceRequest)(out, request)
        frame = out.getvalue()
        self._socket.sendall(struct.pack(">i", len(frame)) + frame)
        answer = self._read(struct.unpack(">i", self._read(4))[0])
        response, _ = entity_reader(ProduceResponse)(answer, 5)
        result = response.responses[0].partition_responses[0]
        return ProduceResult(
            int(result.error_code.value),
            result.base_offset,
            result.error_message,
            tuple((e.batch_index, e.batch_index_error_message) for e in result.record_errors),
        )

    def _read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            part = self._socket.recv(size - len(data))
            assert part, "the broker closed the connection"
            data += part
        return data
