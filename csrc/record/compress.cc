#include <lz4frame.h>
#include <snappy.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <string>

#include "record/codec.h"
#include "record/reused_context.h"
#include "record/snappy_framing.h"

namespace barnabas::record {
namespace {

using Bytes = std::vector<uint8_t>;

Error failed(const std::string& what) { return Error{ErrorCode::kUnknownServerError, what}; }

Result<Bytes> compress_gzip(ByteView input, int level) {
  constexpr int kMemoryLevel = 8;  // zlib's default
  z_stream stream{};
  if (deflateInit2(&stream, level == kDefaultLevel ? Z_DEFAULT_COMPRESSION : level, Z_DEFLATED,
                   kGzipWindowBits, kMemoryLevel, Z_DEFAULT_STRATEGY) != Z_OK) {
    return failed("gzip: level " + std::to_string(level) + " is not one of -1 to 9");
  }
  Bytes out(deflateBound(&stream, input.size()));
  stream.next_in = const_cast<Bytef*>(input.data());
  stream.avail_in = static_cast<uInt>(input.size());
  stream.next_out = out.data();
  stream.avail_out = static_cast<uInt>(out.size());
  const int code = deflate(&stream, Z_FINISH);
  out.resize(out.size() - stream.avail_out);
  deflateEnd(&stream);
  if (code != Z_STREAM_END) return failed("gzip: compression failed");
  return out;
}

Bytes compress_snappy(ByteView input) {
  using namespace snappy_framing;
  Bytes out(kMagicBytes.begin(), kMagicBytes.end());
  out.resize(kHeaderSize);
  store_be<int32_t>(out.data() + kMagicBytes.size(), kVersion);
  store_be<int32_t>(out.data() + kMagicBytes.size() + sizeof(int32_t), kVersion);
  while (!input.empty()) {
    const ByteView block = input.first(std::min(input.size(), kBlockBytes));
    input = input.subspan(block.size());
    const size_t start = out.size();
    out.resize(start + sizeof(int32_t) + snappy::MaxCompressedLength(block.size()));
    size_t size = 0;
    snappy::RawCompress(reinterpret_cast<const char*>(block.data()), block.size(),
                        reinterpret_cast<char*>(out.data() + start + sizeof(int32_t)), &size);
    store_be<int32_t>(out.data() + start, static_cast<int32_t>(size));
    out.resize(start + sizeof(int32_t) + size);
  }
  return out;
}

Result<Bytes> compress_lz4(ByteView input, int level) {
  // Kafka's default, 9, is its name for the fast compressor; every other level is lz4-hc.
  constexpr int kKafkaDefaultLevel = 9;
  LZ4F_preferences_t preferences = LZ4F_INIT_PREFERENCES;
  preferences.frameInfo.blockSizeID = LZ4F_max64KB;
  preferences.frameInfo.blockMode = LZ4F_blockIndependent;
  preferences.compressionLevel = level == kDefaultLevel || level == kKafkaDefaultLevel
                                     ? 0
                                     : std::min(level, LZ4F_compressionLevel_max());
  Bytes out(LZ4F_compressFrameBound(input.size(), &preferences));
  const size_t size =
      LZ4F_compressFrame(out.data(), out.size(), input.data(), input.size(), &preferences);
  if (LZ4F_isError(size)) return failed(std::string("lz4: ") + LZ4F_getErrorName(size));
  out.resize(size);
  return out;
}

struct ZstdCompression {
  using Handle = ZSTD_CCtx*;
  static Handle make() { return ZSTD_createCCtx(); }
  static bool reset(Handle context) {
    return ZSTD_sizeof_CCtx(context) <= kMaxKeptZstdBytes &&
           !ZSTD_isError(ZSTD_CCtx_reset(context, ZSTD_reset_session_and_parameters));
  }
  static void free(Handle context) { ZSTD_freeCCtx(context); }
};

Result<Bytes> compress_zstd(ByteView input, int level) {
  const auto context = ReusedContext<ZstdCompression>::take();
  if (context.get() == nullptr) return failed("zstd: no memory");
  Bytes out(ZSTD_compressBound(input.size()));
  const size_t size =
      ZSTD_compressCCtx(context.get(), out.data(), out.size(), input.data(), input.size(),
                        level == kDefaultLevel ? ZSTD_CLEVEL_DEFAULT : level);
  if (ZSTD_isError(size)) return failed(std::string("zstd: ") + ZSTD_getErrorName(size));
  out.resize(size);
  return out;
}

}  // namespace

Result<Bytes> compress(Codec codec, ByteView input, int level) {
  switch (codec) {
    case Codec::kNone:
      return Bytes(input.begin(), input.end());
    case Codec::kGzip:
      return compress_gzip(input, level);
    case Codec::kSnappy:
      return compress_snappy(input);
    case Codec::kLz4:
      return compress_lz4(input, level);
    case Codec::kZstd:
      return compress_zstd(input, level);
  }
  return Error{ErrorCode::kUnsupportedCompressionType,
               "unknown compression codec " + std::to_string(static_cast<int>(codec))};
}

}  // namespace barnabas::record
