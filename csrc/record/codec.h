// The four compression codecs of Kafka (gzip, snappy in both framings, lz4 frame, zstd), streaming
// on the way out so that a batch's check never needs the whole expansion in memory.
//
// Thread-safety: free functions are safe from every thread; a Decompressor belongs to one.
#pragma once

#include <memory>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "record/batch.h"

namespace barnabas::record {

/// Pulls the decompressed bytes of one records block. Owns its window; borrows the input.
class Decompressor {
 public:
  virtual ~Decompressor() = default;
  /// Fills `out` as far as the stream goes: fewer bytes than asked mean its end. Error
  /// (kCorruptMessage) when the stream is not what its codec says.
  virtual Result<size_t> read(MutableBytes out) = 0;
};

/// A decompressor for `codec`; Codec::kNone passes the bytes through.
/// snappy: xerial framing (Java, aiokafka) or raw (librdkafka, Go), told apart by the magic.
Result<std::unique_ptr<Decompressor>> make_decompressor(Codec codec, ByteView input);

/// All of it at once, at most `limit` bytes (kMessageTooLarge beyond).
Result<std::vector<uint8_t>> decompress(Codec codec, ByteView input, size_t limit);

/// zlib's windowBits: the largest window, and (16) a gzip header, nothing else.
inline constexpr int kGzipWindowBits = 15 + 16;

/// `level` as in Kafka's compression.*.level; kDefaultLevel for the codec's own.
/// snappy is written in xerial framing, lz4 as a frame, as the Java client does.
inline constexpr int kDefaultLevel = INT32_MIN;
Result<std::vector<uint8_t>> compress(Codec codec, ByteView input, int level = kDefaultLevel);

}  // namespace barnabas::record
