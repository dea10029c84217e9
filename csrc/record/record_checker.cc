#include "record/record_checker.h"

#include <algorithm>
#include <limits>

#include "record/codec.h"
#include "record/reused_context.h"
#include "record/window_reader.h"

namespace barnabas::record {
namespace {

/// The window's memory, kept per thread.
struct WindowTraits {
  using Handle = uint8_t*;
  static constexpr size_t kSizeBytes = 64 << 10;
  static Handle make() { return new uint8_t[kSizeBytes]; }
  static bool reset(Handle) { return true; }
  static void free(Handle window) { delete[] window; }
};

int64_t saturating_add(int64_t a, int64_t b) {
  int64_t sum = 0;
  if (!__builtin_add_overflow(a, b, &sum)) return sum;
  return b > 0 ? std::numeric_limits<int64_t>::max() : std::numeric_limits<int64_t>::min();
}

/// The body of a record that is larger than the window, field by field.
class LargeRecord {
 public:
  LargeRecord(WindowReader& reader, int32_t length)
      : reader_(reader), left_(static_cast<uint64_t>(length)) {}

  Status parse(RecordFields& out) {
    BARNABAS_TRY(skip(1));  // attributes
    BARNABAS_ASSIGN(out.timestamp_delta, read_number());
    BARNABAS_ASSIGN(out.offset_delta, read_length());
    BARNABAS_ASSIGN(out.key_length, read_length());
    BARNABAS_TRY(skip(out.key_length));
    BARNABAS_ASSIGN(out.value_length, read_length());
    BARNABAS_TRY(skip(out.value_length));
    BARNABAS_ASSIGN(out.header_count, read_length());
    if (out.header_count < 0 || static_cast<uint64_t>(out.header_count) > left_ / 2) {
      return invalid(parse_error::kHeaderCount);
    }
    for (int32_t i = 0; i < out.header_count; ++i) {
      BARNABAS_ASSIGN(const int32_t key_length, read_length());
      if (key_length < 0) return invalid(parse_error::kHeaderKey);
      BARNABAS_TRY(skip(key_length));
      BARNABAS_ASSIGN(const int32_t value_length, read_length());
      BARNABAS_TRY(skip(value_length));
    }
    if (left_ != 0) return invalid(parse_error::kTrailing);
    return {};
  }

 private:
  static Error invalid(ParseError what) { return Error{ErrorCode::kInvalidRecord, what}; }

  Result<int64_t> read_number() {
    BARNABAS_TRY(reader_.fill(kMaxVarint64Bytes));
    const ByteView view = reader_.view();
    const size_t available = std::min<uint64_t>(view.size(), left_);
    int64_t value = 0;
    const uint8_t* const end = read_varlong(view.data(), view.data() + available, value);
    if (end == nullptr) return invalid(parse_error::kMalformed);
    const auto size = static_cast<size_t>(end - view.data());
    reader_.consume(size);
    left_ -= size;
    return value;
  }

  Result<int32_t> read_length() {
    BARNABAS_ASSIGN(const int64_t value, read_number());
    if (value != static_cast<int32_t>(value)) return invalid(parse_error::kMalformed);
    return static_cast<int32_t>(value);
  }

  Status skip(int32_t length) {
    if (length <= 0) return {};
    const auto size = static_cast<uint64_t>(length);
    if (size > left_) return invalid(parse_error::kMalformed);
    left_ -= size;
    BARNABAS_ASSIGN(const bool there, reader_.skip(size));
    if (!there) return invalid(parse_error::kBadLength);
    return {};
  }

  WindowReader& reader_;
  uint64_t left_;  // bytes of the body not yet read
};

}  // namespace

TimestampRange timestamp_range(const ValidationPolicy& policy, int64_t now_ms) {
  if (policy.timestamp_type != TimestampType::kCreateTime) return {};
  return {saturating_add(now_ms, -policy.timestamp_before_max_ms),
          saturating_add(now_ms, policy.timestamp_after_max_ms)};
}

RecordChecker::RecordChecker(const ValidationPolicy& policy, const BatchView& batch,
                             TimestampRange timestamps)
    : policy_(policy),
      record_count_(batch.record_count()),
      base_timestamp_(batch.base_timestamp()),
      earliest_(timestamps.earliest),
      latest_(timestamps.latest) {}

Status RecordChecker::check_records(ByteView records) {
  const uint8_t* p = records.data();
  const uint8_t* const end = p + records.size();
  RecordFields fields;
  while (index_ < record_count_) {
    if (const ParseError error = parse_record(p, end, fields)) [[unlikely]] {
      return malformed(error);
    }
    if (const ParseError error = check(fields)) [[unlikely]]
      return malformed(error);
  }
  if (p != end) return malformed("bytes are left over after the last record");
  return {};
}

Status RecordChecker::check_compressed_records(Codec codec, ByteView block, uint64_t limit,
                                               uint64_t& expanded_bytes) {
  BARNABAS_ASSIGN(const std::unique_ptr<Decompressor> stream, make_decompressor(codec, block));
  const auto window = ReusedContext<WindowTraits>::take();
  WindowReader reader(*stream, {window.get(), WindowTraits::kSizeBytes}, limit);
  Status status = check_stream(reader);
  expanded_bytes = reader.total();
  if (!status.ok() && status.error().code == ErrorCode::kCorruptMessage) {
    // The CRC was right, so the producer meant these bytes: sending them again cannot help.
    return malformed(status.error().message.c_str());
  }
  return status;
}

Status RecordChecker::check_stream(WindowReader& reader) {
  RecordFields fields;
  while (index_ < record_count_) {
    BARNABAS_TRY(reader.fill(kMaxVarint32Bytes));
    const ByteView head = reader.view();
    int32_t length = 0;
    const uint8_t* const body = read_varint(head.data(), head.data() + head.size(), length);
    if (body == nullptr) return malformed(parse_error::kNoLength);
    if (length < 0) return malformed(parse_error::kBadLength);
    const auto length_size = static_cast<size_t>(body - head.data());
    const size_t record_size = length_size + static_cast<size_t>(length);
    if (record_size <= reader.capacity()) {
      BARNABAS_TRY(reader.fill(record_size));
      const ByteView view = reader.view();
      if (view.size() < record_size) return malformed(parse_error::kBadLength);
      if (const ParseError error =
              parse_body(view.data() + length_size, view.data() + record_size, fields)) {
        return malformed(error);
      }
      reader.consume(record_size);
    } else {
      reader.consume(length_size);
      const Status status = LargeRecord(reader, length).parse(fields);
      if (!status.ok()) {
        if (status.error().code != ErrorCode::kInvalidRecord) return status;
        return malformed(status.error().message.c_str());
      }
    }
    if (const ParseError error = check(fields)) return malformed(error);
  }
  BARNABAS_TRY(reader.fill(1));
  if (!reader.view().empty()) return malformed("bytes are left over after the last record");
  return {};
}

Status RecordChecker::verdict() const {
  if (error_count_ == 0) return {};
  if (timestamp_refused_) {
    return Error{ErrorCode::kInvalidTimestamp,
                 "One or more records have been rejected due to invalid timestamp"};
  }
  std::string message = "One or more records have been rejected due to " +
                        std::to_string(error_count_) +
                        " record errors in total, of which the first: ";
  message += errors_.front().message;
  return Error{ErrorCode::kInvalidRecord, std::move(message)};
}

void RecordChecker::refuse_missing_key() {
  refuse("Compacted topic cannot accept message without key" + in_partition(policy_));
}

void RecordChecker::refuse_timestamp(int64_t timestamp) {
  timestamp_refused_ = true;
  refuse("Timestamp " + std::to_string(timestamp) + " of message with offset " +
         std::to_string(index_) + " is out of range. The timestamp should be within [" +
         std::to_string(earliest_) + ", " + std::to_string(latest_) + "]");
}

void RecordChecker::refuse(std::string message) {
  ++error_count_;
  if (errors_.empty() || errors_.size() < policy_.max_record_errors) {
    errors_.push_back(RecordError{index_, std::move(message)});
  }
}

Error RecordChecker::malformed(ParseError what) const {
  return Error{ErrorCode::kInvalidRecord, "Record " + std::to_string(index_) + " of " +
                                              std::to_string(record_count_) +
                                              in_partition(policy_) + ": " + what};
}

std::string in_partition(const ValidationPolicy& policy) {
  if (policy.topic.empty()) return {};
  return " in topic partition " + std::string(policy.topic) + "-" +
         std::to_string(policy.partition);
}

}  // namespace barnabas::record
