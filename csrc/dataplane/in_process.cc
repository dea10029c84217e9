#include "dataplane/in_process.h"

#include <string>
#include <utility>

#include "base/crc32c.h"
#include "base/fd.h"
#include "base/planted.h"
#include "record/batch.h"
#include "record/builder.h"
#include "storage/batch_cursor.h"
#include "storage/offset_order.h"

namespace barnabas::dataplane {
namespace {

/// The size of the batches in front, as many as are whole and can be seen to be in their places: no
/// CRC covers a base offset. The look-up says that of the first one; and it will see the one that
/// this ends before, with the whole segment in view.
size_t size_in_place(ByteView bytes, int64_t first_offset) {
  const auto first = record::peek_batch(bytes);
  if (!first || first->base_offset() != first_offset) return 0;
  storage::OffsetOrder order({.base_offset = first->base_offset()}, first->next_offset());
  size_t size = first->size_bytes();
  while (const auto batch = record::peek_batch(bytes.subspan(size))) {
    const size_t end = size + batch->size_bytes();
    if (!order.take_next(*batch)) {
      const auto next = record::peek_batch(bytes.subspan(end));
      if (!next || !storage::plausible_header(*next)) return size;
      const storage::Following following{next->base_offset(), next->leader_epoch()};
      if (order.take(*batch, following)) return size;
    }
    size = end;
  }
  return size;
}

}  // namespace

Result<std::vector<uint8_t>> encode_batch(std::span<const KeyValueView> records,
                                          int64_t timestamp_ms, int32_t max_message_bytes,
                                          const TransactionalProducer& producer) {
  if (records.empty()) return Error{ErrorCode::kInvalidRecord, "there is nothing to append"};
  record::BatchOptions options;
  options.producer_id = producer.id;
  options.producer_epoch = producer.epoch;
  options.transactional = producer.id >= 0;
  record::BatchBuilder builder(options);
  for (const auto& [key, value] : records) builder.append(timestamp_ms, key, value);
  BARNABAS_ASSIGN(auto bytes, builder.build());
  if (bytes.size() > static_cast<size_t>(max_message_bytes)) {
    return Error{ErrorCode::kMessageTooLarge,
                 "a batch of " + std::to_string(bytes.size()) + " bytes is larger than " +
                     std::to_string(max_message_bytes) + ", max.message.bytes"};
  }
  return bytes;
}

Result<Fetched> fetch_batches(const Partition& partition, int64_t offset, size_t max_bytes,
                              IsolationLevel isolation, RawArray<uint8_t> memory) {
  FetchParams params;
  params.fetch_offset = offset;
  PartitionRead read = partition.read(params, max_bytes, true, isolation);
  if (read.error != ErrorCode::kNone) {
    const std::string failure = partition.take_read_failure();
    return Error{read.error, "cannot read " + partition.to_string() + " at offset " +
                                 std::to_string(offset) + (failure.empty() ? "" : ": ") + failure};
  }
  Fetched fetched;
  fetched.high_watermark = read.high_watermark;
  fetched.last_stable_offset = read.last_stable_offset;
  fetched.log_start_offset = read.log_start_offset;
  if (read.aborted != nullptr) fetched.aborted = *read.aborted;
  const FileSlice& file = read.slice.file;
  memory.resize(file.length);
  fetched.bytes = std::move(memory);
  if (file.length == 0) return fetched;
  const MutableBytes bytes(fetched.bytes.data(), file.length);
  BARNABAS_ASSIGN(const size_t got,
                  read_at(file.file->get(), bytes, file.position, read.slice.path));
  const size_t whole = size_in_place(bytes.first(got), read.slice.first_batch_offset);
  fetched.bytes.resize(whole);
  fetched.path = std::move(read.slice.path);
  fetched.position = file.position;
  if (whole == 0) {
    return Error{ErrorCode::kCorruptMessage, fetched.path + ": no batch of offset " +
                                                 std::to_string(read.slice.first_batch_offset) +
                                                 " at position " + std::to_string(file.position)};
  }
  return fetched;
}

Status check_crc(const Fetched& fetched, size_t at, const record::BatchView& batch) {
  if (crc32c(batch.crc_payload()) == batch.crc()) return {};
  return Error{ErrorCode::kCorruptMessage, fetched.path + ": the CRC of the batch of offset " +
                                               std::to_string(batch.base_offset()) +
                                               " at position " +
                                               std::to_string(fetched.position + at) + " is wrong"};
}

Status check_crcs(const Fetched& fetched) {
  const ByteView bytes(fetched.bytes.data(), fetched.bytes.size());
  for (size_t at = 0; const auto batch = record::peek_batch(bytes.subspan(at));) {
    BARNABAS_TRY(check_crc(fetched, at, *batch));
    at += batch->size_bytes();
  }
  return {};
}

PartitionInfo info_of(const Partition& partition) {
  PartitionInfo info;
  info.topic = partition.topic().name;
  info.partition = partition.index();
  info.leader_epoch = partition.leader_epoch();
  info.high_watermark = partition.high_watermark();
  if (strikes<Bug::kEarlyHighWatermark>()) ++info.high_watermark;
  info.last_stable_offset = partition.last_stable_offset();
  info.offline = partition.offline();
  if (const storage::Log* log = partition.log()) {
    info.log_start_offset = log->log_start_offset();
    info.log_end_offset = log->log_end_offset();
    info.size_bytes = log->size_bytes();
    info.segment_count = log->segment_count();
  }
  return info;
}

Result<storage::TimestampOffset> max_timestamp_offset(const Partition& partition) {
  BARNABAS_ASSIGN(const auto newest, partition.log()->max_timestamp_offset());
  const int64_t high_watermark = partition.high_watermark();
  if (newest.offset < high_watermark) return newest;
  // The newest record may not be seen yet: the largest timestamp below the high watermark is the
  // largest whose first record lies there.
  storage::TimestampOffset best;
  for (int64_t low = 0, high = newest.timestamp; low <= high;) {
    const int64_t middle = low + (high - low) / 2;
    BARNABAS_ASSIGN(const auto first, partition.log()->offset_for_timestamp(middle));
    if (first.offset >= 0 && first.offset < high_watermark) {
      best = first;
      low = first.timestamp + 1;
    } else {
      high = middle - 1;
    }
  }
  return best;
}

}  // namespace barnabas::dataplane
