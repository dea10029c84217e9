#include "storage/checkpoint_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <charconv>
#include <cstdio>

#include "base/fd.h"
#include "storage/log_file_name.h"
#include "storage/sync_result.h"

namespace barnabas::storage {
namespace {

constexpr int kCheckpointVersion = 0;

std::vector<std::string> split_lines(std::string_view text) {
  std::vector<std::string> lines;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    lines.emplace_back(line);
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  return lines;
}

bool parse_number(std::string_view text, int64_t& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc() && end == text.data() + text.size();
}

}  // namespace

Error malformed_file(const std::string& path, const std::string& why) {
  std::string shown = why;  // which may quote what the file has
  for (char& byte : shown) {
    if (byte < ' ' || byte > '~') byte = '?';
  }
  return Error{ErrorCode::kKafkaStorageError, path + ": " + shown, 0};
}

Status replace_file(const std::string& path, ByteView content, Durability durability) {
  if (durability == Durability::kNow) return replace_synced(path, content).status;
  const std::string temporary = path + std::string(suffix::kTemporary);
  {
    BARNABAS_ASSIGN(UniqueFd fd, open_file(temporary, O_WRONLY | O_CREAT | O_TRUNC));
    BARNABAS_TRY(write_all_at(fd.get(), content, 0, temporary));
  }
  return rename_file(temporary, path);
}

Result<std::vector<uint8_t>> read_small_file(const std::string& path, size_t limit) {
  BARNABAS_ASSIGN(UniqueFd fd, open_file(path, O_RDONLY));
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0) return system_error(path);
  if (static_cast<uint64_t>(info.st_size) > limit) return malformed_file(path, "is too large");
  std::vector<uint8_t> content(static_cast<size_t>(info.st_size));
  BARNABAS_ASSIGN(const size_t got, read_at(fd.get(), content, 0, path));
  content.resize(got);
  return content;
}

Result<std::vector<std::string>> read_checkpoint_lines(const std::string& path) {
  BARNABAS_ASSIGN(const std::vector<uint8_t> content, read_small_file(path));
  std::vector<std::string> lines = split_lines(as_text(content));
  // Kafka creates the file empty before it writes it for the first time.
  if (lines.empty()) return lines;
  int64_t version = -1;
  if (!parse_number(lines[0], version) || version != kCheckpointVersion) {
    return malformed_file(path, "line 1: not version 0: \"" + lines[0] + "\"");
  }
  int64_t count = -1;
  if (lines.size() < 2 || !parse_number(lines[1], count)) {
    return malformed_file(path, "line 2: no count of entries");
  }
  lines.erase(lines.begin(), lines.begin() + 2);
  if (count != static_cast<int64_t>(lines.size())) {
    return malformed_file(path, "line 2: says " + std::to_string(count) + " entries, has " +
                                    std::to_string(lines.size()));
  }
  return lines;
}

std::string checkpoint_text(const std::vector<std::string>& lines) {
  std::string text =
      std::to_string(kCheckpointVersion) + "\n" + std::to_string(lines.size()) + "\n";
  for (const std::string& line : lines) {
    text += line;
    text += '\n';
  }
  return text;
}

Status write_checkpoint_lines(const std::string& path, const std::vector<std::string>& lines,
                              Durability durability) {
  return replace_file(path, as_bytes(checkpoint_text(lines)), durability);
}

}  // namespace barnabas::storage
