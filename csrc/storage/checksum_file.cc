#include "storage/checksum_file.h"

#include <cerrno>
#include <charconv>

#include "base/crc32c.h"
#include "storage/log_file_name.h"

namespace barnabas::storage {
namespace {

std::optional<Checksum> parse_checksum(const std::string& line) {
  Checksum sum;
  const char* const end = line.data() + line.size();
  const auto bytes = std::from_chars(line.data(), end, sum.bytes);
  if (bytes.ec != std::errc() || bytes.ptr == end || *bytes.ptr != ' ') return std::nullopt;
  const auto crc = std::from_chars(bytes.ptr + 1, end, sum.crc32c);
  if (crc.ec != std::errc() || crc.ptr != end) return std::nullopt;
  return sum;
}

std::vector<std::string> to_lines(const std::vector<Checksum>& sums) {
  std::vector<std::string> lines;
  lines.reserve(sums.size());
  for (const Checksum& sum : sums) {
    lines.push_back(std::to_string(sum.bytes) + " " + std::to_string(sum.crc32c));
  }
  return lines;
}

}  // namespace

Checksum checksum_of(ByteView content) { return extended({}, content); }

Checksum extended(Checksum sum, ByteView more) {
  return {sum.bytes + more.size(), crc32c_extend(sum.crc32c, more)};
}

Result<std::optional<std::vector<Checksum>>> read_checksums(const std::string& path) {
  return read_checksum_file(path + std::string(suffix::kChecksum));
}

Result<std::optional<std::vector<Checksum>>> read_checksum_file(const std::string& crc_path) {
  using Sums = std::optional<std::vector<Checksum>>;
  const auto lines = read_checkpoint_lines(crc_path);
  if (!lines.ok()) {
    if (lines.error().sys_errno == ENOENT) return Sums();
    return lines.error();
  }
  Sums sums(std::in_place);
  for (const std::string& line : *lines) {
    const auto sum = parse_checksum(line);
    if (!sum) return malformed_file(crc_path, "not \"bytes crc32c\": \"" + line + "\"");
    sums->push_back(*sum);
  }
  if (sums->empty()) return malformed_file(crc_path, "is empty");
  return sums;
}

Status write_checksums(const std::string& path, const std::vector<Checksum>& sums,
                       Durability durability) {
  return write_checkpoint_lines(path + std::string(suffix::kChecksum), to_lines(sums), durability);
}

std::string checksum_text(const std::vector<Checksum>& sums) {
  return checkpoint_text(to_lines(sums));
}

}  // namespace barnabas::storage
