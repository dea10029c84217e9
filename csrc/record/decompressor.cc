#include <lz4frame.h>
#include <snappy.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <string>

#include "record/codec.h"
#include "record/reused_context.h"
#include "record/snappy_framing.h"

namespace barnabas::record {
namespace {

Error corrupt(const std::string& what) { return Error{ErrorCode::kCorruptMessage, what}; }

class PassThrough final : public Decompressor {
 public:
  explicit PassThrough(ByteView input) : rest_(input) {}

  Result<size_t> read(MutableBytes out) override {
    const size_t size = std::min(out.size(), rest_.size());
    if (size != 0) std::memcpy(out.data(), rest_.data(), size);
    rest_ = rest_.subspan(size);
    return size;
  }

 private:
  ByteView rest_;
};

// -- gzip ----------------------------------------------------------------------------------------

struct InflateTraits {
  using Handle = z_stream*;
  static Handle make() {
    auto* stream = new z_stream{};
    if (inflateInit2(stream, kGzipWindowBits) == Z_OK) return stream;
    delete stream;
    return nullptr;
  }
  static bool reset(Handle stream) { return inflateReset(stream) == Z_OK; }
  static void free(Handle stream) {
    inflateEnd(stream);
    delete stream;
  }
};

/// Members one after the other count as one stream, as for Java's GZIPInputStream.
class Gunzip final : public Decompressor {
 public:
  explicit Gunzip(ByteView input) : rest_(input), context_(ReusedContext<InflateTraits>::take()) {}

  Result<size_t> read(MutableBytes out) override {
    z_stream* const stream = context_.get();
    if (stream == nullptr) return corrupt("gzip: no memory");
    stream->next_out = out.data();
    stream->avail_out = static_cast<uInt>(std::min<size_t>(out.size(), UINT32_MAX));
    while (stream->avail_out > 0) {
      if (member_ended_) {
        if (rest_.empty()) break;
        inflateReset(stream);
        member_ended_ = false;
      }
      stream->next_in = const_cast<Bytef*>(rest_.data());
      stream->avail_in = static_cast<uInt>(rest_.size());
      const int code = inflate(stream, Z_NO_FLUSH);
      rest_ = rest_.last(stream->avail_in);
      if (code == Z_STREAM_END) {
        member_ended_ = true;
      } else if (code != Z_OK) {
        // Z_BUF_ERROR: there is room in `out`, so the input ended early.
        return corrupt(code == Z_BUF_ERROR ? "gzip: the stream is cut off"
                                           : "gzip: the stream is damaged");
      }
    }
    return out.size() - stream->avail_out;
  }

 private:
  ByteView rest_;
  ReusedContext<InflateTraits> context_;
  bool member_ended_ = false;
};

// -- lz4 -----------------------------------------------------------------------------------------

struct Lz4Traits {
  using Handle = LZ4F_dctx*;
  static Handle make() {
    LZ4F_dctx* context = nullptr;
    return LZ4F_isError(LZ4F_createDecompressionContext(&context, LZ4F_VERSION)) ? nullptr
                                                                                 : context;
  }
  static bool reset(Handle context) {
    LZ4F_resetDecompressionContext(context);
    return true;
  }
  static void free(Handle context) { LZ4F_freeDecompressionContext(context); }
};

/// One frame of independent blocks: what the Java client can read back. Anything else is refused
/// here, as Kafka does, rather than stored for consumers to fail on.
class UnLz4 final : public Decompressor {
 public:
  explicit UnLz4(ByteView input) : rest_(input), context_(ReusedContext<Lz4Traits>::take()) {}

  Result<size_t> read(MutableBytes out) override {
    if (context_.get() == nullptr) return corrupt("lz4: no memory");
    if (!started_) BARNABAS_TRY(check_frame());
    size_t done = 0;
    while (done < out.size() && !ended_) {
      size_t produced = out.size() - done;
      size_t consumed = rest_.size();
      const size_t hint = LZ4F_decompress(context_.get(), out.data() + done, &produced,
                                          rest_.data(), &consumed, nullptr);
      if (LZ4F_isError(hint)) {
        return corrupt(std::string("lz4: ") + LZ4F_getErrorName(hint));
      }
      rest_ = rest_.subspan(consumed);
      done += produced;
      ended_ = hint == 0;
      if (!ended_ && produced == 0 && consumed == 0) return corrupt("lz4: the frame is cut off");
    }
    if (ended_ && !rest_.empty()) return corrupt("lz4: bytes follow the frame");
    return done;
  }

 private:
  static constexpr std::array<uint8_t, 4> kMagicBytes{0x04, 0x22, 0x4d, 0x18};
  static constexpr uint8_t kBlockIndependenceFlag = 0x20;

  Status check_frame() {
    started_ = true;
    if (rest_.size() <= kMagicBytes.size() ||
        std::memcmp(rest_.data(), kMagicBytes.data(), kMagicBytes.size()) != 0) {
      return corrupt("lz4: not a frame");
    }
    if ((rest_[kMagicBytes.size()] & kBlockIndependenceFlag) == 0) {
      return corrupt("lz4: the blocks of the frame depend on each other, which Kafka forbids");
    }
    return {};
  }

  ByteView rest_;
  ReusedContext<Lz4Traits> context_;
  bool started_ = false;
  bool ended_ = false;
};

// -- zstd ----------------------------------------------------------------------------------------

struct ZstdDecompression {
  using Handle = ZSTD_DCtx*;
  static Handle make() { return ZSTD_createDCtx(); }
  static bool reset(Handle context) {
    if (ZSTD_sizeof_DCtx(context) > kMaxKeptZstdBytes) return false;
    return !ZSTD_isError(ZSTD_DCtx_reset(context, ZSTD_reset_session_only));
  }
  static void free(Handle context) { ZSTD_freeDCtx(context); }
};

class UnZstd final : public Decompressor {
 public:
  explicit UnZstd(ByteView input)
      : input_{input.data(), input.size(), 0}, context_(ReusedContext<ZstdDecompression>::take()) {}

  Result<size_t> read(MutableBytes out) override {
    if (context_.get() == nullptr) return corrupt("zstd: no memory");
    ZSTD_outBuffer output{out.data(), out.size(), 0};
    while (output.pos < output.size) {
      if (frame_ended_ && input_.pos == input_.size) break;
      const size_t before = input_.pos + output.pos;
      const size_t hint = ZSTD_decompressStream(context_.get(), &output, &input_);
      if (ZSTD_isError(hint)) return corrupt(std::string("zstd: ") + ZSTD_getErrorName(hint));
      frame_ended_ = hint == 0;
      if (!frame_ended_ && input_.pos + output.pos == before) {
        return corrupt("zstd: the frame is cut off");
      }
    }
    return output.pos;
  }

 private:
  ZSTD_inBuffer input_;
  ReusedContext<ZstdDecompression> context_;
  bool frame_ended_ = false;
};

// -- snappy --------------------------------------------------------------------------------------

/// Both framings. A block is expanded whole, since the format lets a copy reach back over all of
/// it; that is bounded: three bytes of input make at most 64 of output.
class UnSnappy final : public Decompressor {
 public:
  explicit UnSnappy(ByteView input) : rest_(input), xerial_(snappy_framing::is_xerial(input)) {}

  Result<size_t> read(MutableBytes out) override {
    if (!started_) BARNABAS_TRY(skip_stream_header());
    size_t done = 0;
    while (done < out.size()) {
      if (block_position_ < block_size_) {
        const size_t size = std::min(out.size() - done, block_size_ - block_position_);
        std::memcpy(out.data() + done, block_.get() + block_position_, size);
        block_position_ += size;
        done += size;
        continue;
      }
      if (rest_.empty()) break;
      BARNABAS_ASSIGN(const size_t direct, expand_block(out.subspan(done)));
      done += direct;
    }
    return done;
  }

 private:
  static constexpr size_t kMaxExpansion = 22;  // 64 / 3, rounded up

  Status skip_stream_header() {
    started_ = true;
    if (!xerial_) {
      if (rest_.empty()) return corrupt("snappy: the block is empty");
      return {};
    }
    if (rest_.size() < snappy_framing::kHeaderSize) return corrupt("snappy: the header is cut off");
    rest_ = rest_.subspan(snappy_framing::kHeaderSize);
    return {};
  }

  Result<ByteView> next_block() {
    if (!xerial_) return std::exchange(rest_, ByteView());
    if (rest_.size() < sizeof(int32_t)) return corrupt("snappy: a block's length is cut off");
    const auto size = load_be<int32_t>(rest_.data());
    rest_ = rest_.subspan(sizeof(int32_t));
    if (size <= 0 || static_cast<size_t>(size) > rest_.size()) {
      return corrupt("snappy: a block's length is beyond the bytes of the stream");
    }
    const ByteView block = rest_.first(static_cast<size_t>(size));
    rest_ = rest_.subspan(static_cast<size_t>(size));
    return block;
  }

  /// Expands the next block, into `out` when it fits (the bytes written are returned), else into
  /// block_.
  Result<size_t> expand_block(MutableBytes out) {
    BARNABAS_ASSIGN(const ByteView block, next_block());
    const auto* const data = reinterpret_cast<const char*>(block.data());
    size_t size = 0;
    if (!snappy::GetUncompressedLength(data, block.size(), &size) ||
        size > block.size() * kMaxExpansion) {
      return corrupt("snappy: a block announces more than it can hold");
    }
    const bool fits = size <= out.size();
    if (!fits && size > block_capacity_) {
      block_ = std::make_unique_for_overwrite<uint8_t[]>(size);
      block_capacity_ = size;
    }
    uint8_t* const target = fits ? out.data() : block_.get();
    if (!snappy::RawUncompress(data, block.size(), reinterpret_cast<char*>(target))) {
      return corrupt("snappy: a block is damaged");
    }
    block_size_ = fits ? 0 : size;
    block_position_ = 0;
    return fits ? size : size_t{0};
  }

  ByteView rest_;
  bool xerial_;
  bool started_ = false;
  std::unique_ptr<uint8_t[]> block_;
  size_t block_capacity_ = 0;
  size_t block_size_ = 0;
  size_t block_position_ = 0;
};

}  // namespace

Result<std::unique_ptr<Decompressor>> make_decompressor(Codec codec, ByteView input) {
  using Made = std::unique_ptr<Decompressor>;
  switch (codec) {
    case Codec::kNone:
      return Made(std::make_unique<PassThrough>(input));
    case Codec::kGzip:
      return Made(std::make_unique<Gunzip>(input));
    case Codec::kSnappy:
      return Made(std::make_unique<UnSnappy>(input));
    case Codec::kLz4:
      return Made(std::make_unique<UnLz4>(input));
    case Codec::kZstd:
      return Made(std::make_unique<UnZstd>(input));
  }
  return Error{ErrorCode::kUnsupportedCompressionType,
               "unknown compression codec " + std::to_string(static_cast<int>(codec))};
}

Result<std::vector<uint8_t>> decompress(Codec codec, ByteView input, size_t limit) {
  BARNABAS_ASSIGN(const std::unique_ptr<Decompressor> stream, make_decompressor(codec, input));
  constexpr size_t kFirstGuess = 4;  // times the input
  limit = std::min<size_t>(limit, PTRDIFF_MAX - 1);
  std::vector<uint8_t> out;
  size_t done = 0;
  size_t target = std::min(limit + 1, std::max<size_t>(input.size() * kFirstGuess, 4096));
  while (true) {
    out.resize(target);
    BARNABAS_ASSIGN(const size_t size, stream->read(MutableBytes(out).subspan(done)));
    done += size;
    if (done > limit) {
      return Error{ErrorCode::kMessageTooLarge,
                   "the records expand to more than " + std::to_string(limit) + " bytes"};
    }
    if (done < target) break;
    target = std::min(limit + 1, target * 2);
  }
  out.resize(done);
  return out;
}

}  // namespace barnabas::record
