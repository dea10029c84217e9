#include "record/codec.h"

#include <gtest/gtest.h>
#include <lz4frame.h>
#include <snappy.h>

#include <random>

#include "batches.h"

namespace barnabas::record {
namespace {

Bytes compressible(size_t size) {
  std::mt19937 random(7);
  Bytes bytes(size);
  for (auto& byte : bytes) byte = static_cast<uint8_t>('a' + random() % 4);
  return bytes;
}

Bytes read_in_steps(Codec codec, ByteView input, size_t step) {
  auto stream = make_decompressor(codec, input);
  EXPECT_TRUE(stream.ok());
  Bytes all;
  Bytes part(step);
  while (true) {
    const auto size = (*stream)->read(part);
    EXPECT_TRUE(size.ok()) << size.error().message;
    if (!size.ok()) return all;
    all.insert(all.end(), part.begin(), part.begin() + static_cast<ptrdiff_t>(*size));
    if (*size < step) return all;
  }
}

TEST(Codec, RoundTripsEveryCodecAtEverySize) {
  for (const Codec codec : all_codecs()) {
    for (const size_t size : {1, 10, 1000, 32 << 10, (32 << 10) + 1, 300'000}) {
      const Bytes input = compressible(size);
      const auto packed = compress(codec, input);
      ASSERT_TRUE(packed.ok());
      const auto unpacked = decompress(codec, *packed, size);
      ASSERT_TRUE(unpacked.ok()) << unpacked.error().message;
      EXPECT_EQ(*unpacked, input);
    }
  }
}

TEST(Codec, StreamsInSmallSteps) {
  const Bytes input = compressible(100'000);
  for (const Codec codec : all_codecs()) {
    const auto packed = compress(codec, input);
    for (const size_t step : {1, 7, 4096, 65536, 100'000, 100'001}) {
      EXPECT_EQ(read_in_steps(codec, *packed, step), input) << static_cast<int>(codec) << step;
    }
  }
}

TEST(Codec, StopsAtTheLimit) {
  const Bytes zeros(1 << 20, 0);
  for (const Codec codec : all_codecs()) {
    const auto packed = compress(codec, zeros);
    const auto refused = decompress(codec, *packed, zeros.size() - 1);
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().code, ErrorCode::kMessageTooLarge);
    EXPECT_TRUE(decompress(codec, *packed, zeros.size()).ok());
  }
}

TEST(Codec, RefusesEveryTruncation) {
  const Bytes input = compressible(5000);
  for (const Codec codec : {Codec::kGzip, Codec::kSnappy, Codec::kLz4, Codec::kZstd}) {
    const auto packed = compress(codec, input);
    for (size_t size = 0; size < packed->size(); ++size) {
      const auto result = decompress(codec, ByteView(*packed).first(size), 1 << 20);
      // A xerial header without blocks is an empty stream, as for Java.
      if (codec == Codec::kSnappy && size == 16) continue;
      ASSERT_FALSE(result.ok()) << static_cast<int>(codec) << " cut to " << size;
      EXPECT_EQ(result.error().code, ErrorCode::kCorruptMessage);
    }
  }
}

TEST(Codec, ReadsRawSnappy) {
  const Bytes input = compressible(200'000);
  std::string packed;
  snappy::Compress(reinterpret_cast<const char*>(input.data()), input.size(), &packed);
  EXPECT_EQ(read_in_steps(Codec::kSnappy, as_bytes(packed), 5000), input);
}

TEST(Codec, RefusesASnappyBlockThatAnnouncesMoreThanItCanHold) {
  const Bytes four_gigabytes{0xff, 0xff, 0xff, 0xff, 0x0f, 0x00, 'x'};
  const auto result = decompress(Codec::kSnappy, four_gigabytes, 1 << 20);
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code, ErrorCode::kCorruptMessage);
}

TEST(Codec, ReadsGzipMembersOneAfterTheOther) {
  auto packed = *compress(Codec::kGzip, bytes_of("first "));
  const auto second = *compress(Codec::kGzip, bytes_of("second"));
  packed.insert(packed.end(), second.begin(), second.end());
  EXPECT_EQ(*decompress(Codec::kGzip, packed, 100), bytes_of("first second"));
}

TEST(Codec, RefusesWhatFollowsAnLz4Frame) {
  auto packed = *compress(Codec::kLz4, bytes_of("hello"));
  packed.push_back(0);
  EXPECT_FALSE(decompress(Codec::kLz4, packed, 100).ok());
}

TEST(Codec, RefusesLz4BlocksThatDependOnEachOther) {
  const Bytes input = compressible(200'000);
  LZ4F_preferences_t preferences = LZ4F_INIT_PREFERENCES;
  preferences.frameInfo.blockMode = LZ4F_blockLinked;
  preferences.frameInfo.blockSizeID = LZ4F_max64KB;
  Bytes packed(LZ4F_compressFrameBound(input.size(), &preferences));
  packed.resize(
      LZ4F_compressFrame(packed.data(), packed.size(), input.data(), input.size(), &preferences));
  const auto result = decompress(Codec::kLz4, packed, 1 << 20);
  ASSERT_FALSE(result.ok());
  EXPECT_NE(result.error().message.find("depend"), std::string::npos);
}

TEST(Codec, HonoursLevels) {
  const Bytes input = compressible(100'000);
  for (const auto& [codec, level] :
       {std::pair{Codec::kGzip, 9}, {Codec::kLz4, 17}, {Codec::kZstd, 19}, {Codec::kZstd, -5}}) {
    const auto packed = compress(codec, input, level);
    ASSERT_TRUE(packed.ok());
    EXPECT_EQ(*decompress(codec, *packed, input.size()), input);
  }
  EXPECT_FALSE(compress(Codec::kGzip, input, 99).ok());
}

TEST(Codec, RefusesAnUnknownCodec) {
  const auto result = make_decompressor(static_cast<Codec>(5), {});
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code, ErrorCode::kUnsupportedCompressionType);
}

TEST(Codec, TwoStreamsOfOneCodecDoNotDisturbEachOther) {
  const Bytes input = compressible(50'000);
  for (const Codec codec : all_codecs()) {
    const auto packed = compress(codec, input);
    auto first = make_decompressor(codec, *packed);
    Bytes head(1000);
    ASSERT_TRUE((*first)->read(head).ok());
    EXPECT_EQ(read_in_steps(codec, *packed, 333), input);
    Bytes rest(input.size());
    const auto size = (*first)->read(rest);
    ASSERT_TRUE(size.ok());
    EXPECT_EQ(*size, input.size() - head.size());
  }
}

}  // namespace
}  // namespace barnabas::record
