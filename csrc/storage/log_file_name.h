// Names of the files in a partition's directory: `<20-digit base offset><suffix>`.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace barnabas::storage {

namespace suffix {
inline constexpr std::string_view kLog = ".log";
inline constexpr std::string_view kOffsetIndex = ".index";
inline constexpr std::string_view kTimeIndex = ".timeindex";
inline constexpr std::string_view kTransactionIndex = ".txnindex";
inline constexpr std::string_view kChecksum = ".crc";  // ours, not Kafka's: see checksum_file.h
inline constexpr std::string_view kTransactionChecksum = ".txnindex.crc";
inline constexpr std::string_view kLogChecksum = ".log.crc";  // while a segment is swapped in
inline constexpr std::string_view kSnapshot = ".snapshot";
inline constexpr std::string_view kDeleted = ".deleted";
inline constexpr std::string_view kCleaned = ".cleaned";
inline constexpr std::string_view kSwap = ".swap";
inline constexpr std::string_view kTemporary = ".tmp";
inline constexpr std::string_view kCorrupt = ".corrupt-";  // and the position; ours, not Kafka's
}  // namespace suffix

inline constexpr std::string_view kLeaderEpochCheckpointName = "leader-epoch-checkpoint";
inline constexpr std::string_view kPartitionMetadataName = "partition.metadata";

/// `00000000000000000042.log` for (42, ".log"). REQUIRES: offset >= 0
std::string log_file_name(int64_t offset, std::string_view file_suffix);
std::string log_file_path(const std::string& directory, int64_t offset,
                          std::string_view file_suffix);

/// The directory that has a log's directory, or a file, in it. REQUIRES: no slash at the end
std::string parent_of(const std::string& path);

/// Of the index beside a segment's .log. REQUIRES: `log_path` ends with .log
std::string index_path_of(const std::string& log_path, std::string_view file_suffix);

struct ParsedFileName {
  int64_t offset = 0;
  std::string_view suffix;  // from the first dot on; borrows the name
};

/// nullopt for a name that does not start with a 20-digit offset and a dot.
std::optional<ParsedFileName> parse_log_file_name(std::string_view name);

}  // namespace barnabas::storage
