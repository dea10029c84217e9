// Fuzzes framing: whatever the bytes and however they arrive, the frames found are those of the
// whole stream, no buffer grows beyond twice what arrived, and no header reaches out of its frame.
//
// Input: one byte that seeds the sizes of the pieces in which the rest arrives, then the stream.
#include <algorithm>
#include <cstdlib>
#include <vector>

#include "net/frame_parser.h"
#include "net/input_buffer.h"

using namespace barnabas;
using namespace barnabas::net;

namespace {

constexpr int64_t kMaxRequestBytes = 1 << 20;
constexpr size_t kSlackBytes = 8192;  // a buffer's first block, and rounding

void require(bool condition) {
  if (!condition) std::abort();
}

/// The end of the frames in `bytes`, in order, up to the first that is incomplete or invalid.
std::vector<size_t> frame_ends(MutableBytes bytes, bool& invalid) {
  std::vector<size_t> ends;
  size_t used = 0;
  while (true) {
    const MutableBytes rest = bytes.subspan(used);
    const FrameScan scan = scan_frame(rest, kMaxRequestBytes);
    invalid = scan.status == FrameScan::Status::kInvalid;
    if (scan.status != FrameScan::Status::kComplete) return ends;
    Request request;
    const MutableBytes frame = rest.first(scan.frame_bytes);
    if (parse_request_header(frame, request)) {
      require(request.body.data() >= frame.data());
      require(request.body.data() + request.body.size() == frame.data() + frame.size());
      if (request.client_id.has_value()) {
        require(as_bytes(*request.client_id).data() + request.client_id->size() ==
                request.body.data());
      }
    }
    used += scan.frame_bytes;
    ends.push_back(used);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  std::vector<uint8_t> stream(data + 1, data + size);
  bool whole_invalid = false;
  const std::vector<size_t> expected = frame_ends(stream, whole_invalid);

  BufferPool pool;
  InputBuffer buffer(pool);
  std::vector<size_t> found;
  size_t arrived = 0;
  size_t consumed = 0;
  uint32_t random = data[0] + 1U;
  bool invalid = false;
  while (arrived < stream.size() && !invalid) {
    random = random * 1103515245U + 12345U;
    const size_t piece = std::min<size_t>(1 + (random >> 16) % 97, stream.size() - arrived);
    const ByteView bytes = ByteView(stream).subspan(arrived, piece);
    if ((random & 1) != 0) {
      buffer.append(bytes);
      arrived += piece;
    } else {
      const MutableBytes room = buffer.room(kMaxRequestBytes);
      const size_t taken = std::min(room.size(), piece);
      std::copy_n(bytes.begin(), taken, room.begin());
      buffer.commit(taken);
      arrived += taken;
    }
    require(buffer.capacity() <= 2 * (arrived - consumed) + kSlackBytes);
    const std::vector<size_t> ends = frame_ends(buffer.bytes(), invalid);
    for (const size_t end : ends) found.push_back(consumed + end);
    if (!ends.empty()) {
      buffer.consume(ends.back());
      consumed += ends.back();
    }
  }
  require(found == expected);
  require(invalid == whole_invalid);
  return 0;
}
