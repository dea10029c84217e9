#include "dataplane/in_process.h"

#include <string>

#include "base/fd.h"
#include "record/batch.h"
#include "record/builder.h"

namespace barnabas::dataplane {

Result<std::vector<uint8_t>> encode_batch(std::span<const KeyValueView> records,
                                          int64_t timestamp_ms, int32_t max_message_bytes) {
  if (records.empty()) return Error{ErrorCode::kInvalidRecord, "there is nothing to append"};
  record::BatchBuilder builder({});
  for (const auto& [key, value] : records) builder.append(timestamp_ms, key, value);
  BARNABAS_ASSIGN(auto bytes, builder.build());
  if (bytes.size() > static_cast<size_t>(max_message_bytes)) {
    return Error{ErrorCode::kMessageTooLarge,
                 "a batch of " + std::to_string(bytes.size()) + " bytes is larger than " +
                     std::to_string(max_message_bytes) + ", max.message.bytes"};
  }
  return bytes;
}

Result<std::vector<uint8_t>> read_batches(const Partition& partition, int64_t offset,
                                          size_t max_bytes) {
  FetchParams params;
  params.fetch_offset = offset;
  const PartitionRead read =
      partition.read(params, max_bytes, true, IsolationLevel::kReadUncommitted);
  if (read.error != ErrorCode::kNone) {
    return Error{read.error,
                 "cannot read " + partition.to_string() + " at offset " + std::to_string(offset)};
  }
  const FileSlice& file = read.slice.file;
  std::vector<uint8_t> bytes(file.length);
  if (bytes.empty()) return bytes;
  BARNABAS_ASSIGN(const size_t got,
                  read_at(file.file->get(), bytes, file.position, read.slice.path));
  size_t whole = 0;
  while (const auto batch = record::peek_batch(ByteView(bytes).subspan(whole, got - whole))) {
    whole += batch->size_bytes();
  }
  if (whole == 0) {
    return Error{ErrorCode::kCorruptMessage,
                 read.slice.path + ": no batch at position " + std::to_string(file.position)};
  }
  bytes.resize(whole);
  return bytes;
}

}  // namespace barnabas::dataplane
