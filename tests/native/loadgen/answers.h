// Answers of a broker, as bytes, for the tests.
#pragma once

#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/varint.h"

namespace barnabas::loadgen::testing {

class Answer {
 public:
  template <class T>
  Answer& put(T value) {
    bytes_.resize(bytes_.size() + sizeof(T));
    store_be(bytes_.data() + bytes_.size() - sizeof(T), value);
    return *this;
  }
  Answer& varint(uint64_t value) {
    uint8_t buffer[kMaxVarint64Bytes];
    bytes_.insert(bytes_.end(), buffer, write_uvarint(buffer, value));
    return *this;
  }
  Answer& text(const std::string& text) {
    varint(text.size() + 1);
    bytes_.insert(bytes_.end(), text.begin(), text.end());
    return *this;
  }
  Answer& raw(ByteView bytes) {
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
    return *this;
  }
  /// The frame, with its size.
  [[nodiscard]] std::vector<uint8_t> frame() const {
    std::vector<uint8_t> framed(4);
    store_be(framed.data(), static_cast<int32_t>(bytes_.size()));
    framed.insert(framed.end(), bytes_.begin(), bytes_.end());
    return framed;
  }
  [[nodiscard]] const std::vector<uint8_t>& body() const { return bytes_; }

 private:
  std::vector<uint8_t> bytes_;
};

inline Answer produce_answer(int32_t correlation_id, int16_t error = 0) {
  Answer answer;
  answer.put(correlation_id).put<int8_t>(0);
  answer.varint(2).text("bench").varint(2).put<int32_t>(3).put(error);
  answer.put<int64_t>(17).put<int64_t>(-1).put<int64_t>(0).varint(1).varint(0).varint(0);
  return answer.varint(0).put<int32_t>(0).varint(0);
}

}  // namespace barnabas::loadgen::testing
