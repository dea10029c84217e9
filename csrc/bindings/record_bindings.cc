// The codecs and hashes that Python asks for: tools that read batches, a group's partition.
#include <pybind11/stl.h>

#include <optional>

#include "base/crc32c.h"
#include "bindings/bindings.h"
#include "bindings/convert.h"
#include "bindings/gil.h"
#include "record/codec.h"

namespace barnabas::bindings {
namespace {

record::Codec to_codec(int codec) {
  if (codec < 0 || codec > static_cast<int>(record::Codec::kZstd)) {
    throw py::value_error("codec is 0 (none), 1 (gzip), 2 (snappy), 3 (lz4) or 4 (zstd)");
  }
  return static_cast<record::Codec>(codec);
}

}  // namespace

void bind_record(py::module_& module) {
  // Releases GIL.
  module.def(
      "crc32c",
      [](const py::bytes& data) {
        const ByteView view = view_of(data);
        return without_gil([&] { return crc32c(view); });
      },
      py::arg("data"));
  // Keeps the GIL: 32 KiB at most, some ten microseconds.
  module.def(
      "java_hash",
      [](const py::bytes& utf16_be) {
        const ByteView units = view_of(utf16_be);
        uint32_t hash = 0;
        for (size_t i = 0; i + 1 < units.size(); i += 2) {
          hash = 31 * hash + static_cast<uint32_t>(units[i] << 8 | units[i + 1]);
        }
        return static_cast<int32_t>(hash);
      },
      py::arg("utf16_be"));
  // Releases GIL.
  module.def(
      "decompress",
      [](int codec, const py::bytes& data, size_t limit) {
        const ByteView view = view_of(data);
        const record::Codec id = to_codec(codec);
        return to_bytes(check(without_gil([&] { return record::decompress(id, view, limit); })));
      },
      py::arg("codec"), py::arg("data"), py::arg("limit"));
  // Releases GIL.
  module.def(
      "compress",
      [](int codec, const py::bytes& data, std::optional<int> level) {
        const ByteView view = view_of(data);
        const record::Codec id = to_codec(codec);
        return to_bytes(check(without_gil(
            [&] { return record::compress(id, view, level.value_or(record::kDefaultLevel)); })));
      },
      py::arg("codec"), py::arg("data"), py::arg("level") = py::none());
}

}  // namespace barnabas::bindings
