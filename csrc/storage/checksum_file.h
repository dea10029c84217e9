// `<name>.crc`, a file of our own beside one of Kafka's that nothing else can tell a wrong bit in:
// what that one holds. Kafka ignores it.
//
// In the format of a checkpoint (version 0), a line `BYTES CRC32C` for each content that may be
// there. Whoever changes a file in place of which nothing else will do says both, the old content
// and the new one, before the change: what a kill or a power cut leaves is one of them then.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "storage/checkpoint_file.h"

namespace barnabas::storage {

/// Of a content; of none, too, as of one without a byte.
struct Checksum {
  uint64_t bytes = 0;
  uint32_t crc32c = 0;

  bool operator==(const Checksum&) const = default;
};

Checksum checksum_of(ByteView content);
/// The one of `sum`'s content and `more` behind it.
Checksum extended(Checksum sum, ByteView more);

/// What the file of `path` may hold, by `path`.crc; nullopt when nothing is said of it.
/// kKafkaStorageError when what is said cannot be read.
Result<std::optional<std::vector<Checksum>>> read_checksums(const std::string& path);
/// The same of such a file by its own path.
Result<std::optional<std::vector<Checksum>>> read_checksum_file(const std::string& crc_path);
/// Writes `path`.crc.
Status write_checksums(const std::string& path, const std::vector<Checksum>& sums,
                       Durability durability);
/// The content of such a file.
std::string checksum_text(const std::vector<Checksum>& sums);

}  // namespace barnabas::storage
