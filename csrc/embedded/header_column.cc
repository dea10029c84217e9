#include "embedded/header_column.h"

namespace barnabas::embedded {

const char* HeaderColumn::push_lists(const void* offsets, bool wide, size_t first, size_t size,
                                     const uint8_t* validity, const ByteColumn& names,
                                     const ByteColumn& values) {
  const auto offset_at = [offsets, wide](size_t i) -> int64_t {
    return wide ? static_cast<const int64_t*>(offsets)[i] : static_cast<const int32_t*>(offsets)[i];
  };
  ends_.reserve(size);
  for (size_t i = first; i < first + size; ++i) {
    const int64_t begin = offset_at(i);
    const int64_t end = offset_at(i + 1);
    if (begin < 0 || end < begin) return "an offset of headers is below the one before it";
    if (static_cast<size_t>(end) > names.size() || static_cast<size_t>(end) > values.size()) {
      return "an offset of headers is beyond the last of them";
    }
    const bool is_null = validity != nullptr && (validity[i / 8] >> (i % 8) & 1) == 0;
    for (auto at = static_cast<size_t>(begin); !is_null && at < static_cast<size_t>(end); ++at) {
      const auto name = names.at(at);
      if (!name) return "a header has no name";
      headers_.push_back({*name, values.at(at)});
    }
    end_record();
  }
  return nullptr;
}

}  // namespace barnabas::embedded
