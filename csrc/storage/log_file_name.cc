#include "storage/log_file_name.h"

#include <charconv>
#include <filesystem>

namespace barnabas::storage {
namespace {

constexpr size_t kOffsetDigits = 20;

}  // namespace

std::string log_file_name(int64_t offset, std::string_view file_suffix) {
  std::string name(kOffsetDigits, '0');
  for (size_t at = kOffsetDigits; offset > 0; offset /= 10) {
    name[--at] = static_cast<char>('0' + offset % 10);
  }
  name += file_suffix;
  return name;
}

std::string log_file_path(const std::string& directory, int64_t offset,
                          std::string_view file_suffix) {
  std::string path;
  path.reserve(directory.size() + 1 + kOffsetDigits + file_suffix.size());
  path += directory;
  path += '/';
  path += log_file_name(offset, file_suffix);
  return path;
}

std::string parent_of(const std::string& path) {
  return std::filesystem::path(path).parent_path().string();
}

std::string index_path_of(const std::string& log_path, std::string_view file_suffix) {
  std::string path;
  path.reserve(log_path.size() + file_suffix.size());
  path.append(log_path, 0, log_path.size() - suffix::kLog.size());
  path += file_suffix;
  return path;
}

std::optional<ParsedFileName> parse_log_file_name(std::string_view name) {
  if (name.size() <= kOffsetDigits || name[kOffsetDigits] != '.') return std::nullopt;
  ParsedFileName parsed;
  const char* digits_end = name.data() + kOffsetDigits;
  const auto [end, error] = std::from_chars(name.data(), digits_end, parsed.offset);
  if (error != std::errc() || end != digits_end || parsed.offset < 0) return std::nullopt;
  parsed.suffix = name.substr(kOffsetDigits);
  return parsed;
}

}  // namespace barnabas::storage
