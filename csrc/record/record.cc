#include "record/record.h"

#include "record/record_parser.h"

namespace barnabas::record {
namespace {

std::optional<ByteView> nullable(const uint8_t* p, int32_t length) {
  if (length < 0) return std::nullopt;
  return ByteView(p, static_cast<size_t>(length));
}

}  // namespace

Result<std::optional<RecordView>> RecordReader::next() {
  if (left_ <= 0) {
    if (left_ < 0) return invalid_record("the record count is negative");
    if (!rest_.empty()) return invalid_record("bytes are left over after the last record");
    return std::optional<RecordView>();
  }
  const uint8_t* p = rest_.data();
  RecordFields fields;
  if (const ParseError error = parse_record(p, rest_.data() + rest_.size(), fields)) {
    return invalid_record(error);
  }
  rest_ = rest_.subspan(static_cast<size_t>(p - rest_.data()));
  --left_;
  return std::optional<RecordView>(RecordView{
      fields.timestamp_delta, fields.offset_delta, nullable(fields.key, fields.key_length),
      nullable(fields.value, fields.value_length), fields.header_count,
      ByteView(fields.headers, static_cast<size_t>(fields.end - fields.headers))});
}

}  // namespace barnabas::record
