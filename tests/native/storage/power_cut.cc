#include "power_cut.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

namespace barnabas::storage {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kSectorBytes = 512;

struct File {
  std::vector<uint8_t> durable;
  std::vector<const DiskCall*> pending;
};

struct Directory {
  std::map<std::string, uint64_t> durable;
  std::vector<const DiskCall*> pending;
};

void put(std::vector<uint8_t>& content, uint64_t offset, std::span<const uint8_t> bytes) {
  content.resize(std::max<uint64_t>(content.size(), offset + bytes.size()));
  std::copy(bytes.begin(), bytes.end(), content.begin() + static_cast<ptrdiff_t>(offset));
}

void apply(std::vector<uint8_t>& content, const DiskCall& call) {
  if (call.kind == DiskCallKind::kTruncate) {
    content.resize(call.offset);
  } else {
    put(content, call.offset, call.bytes);
  }
}

void apply(std::map<std::string, uint64_t>& names, const DiskCall& call) {
  if (call.kind == DiskCallKind::kUnlink || call.kind == DiskCallKind::kRename) {
    names.erase(call.name);
  }
  if (call.kind == DiskCallKind::kRename) names[call.new_name] = call.node;
  if (call.kind == DiskCallKind::kCreate || call.kind == DiskCallKind::kMakeDirectory) {
    names[call.name] = call.node;
  }
}

template <class Node>
void make_durable(Node& node) {
  for (const DiskCall* call : node.pending) apply(node.durable, *call);
  node.pending.clear();
}

class Disk {
 public:
  explicit Disk(std::mt19937& random) : random_(random) {}

  void take(const DiskCall& call) {
    switch (call.kind) {
      case DiskCallKind::kWrite:
      case DiskCallKind::kTruncate:
        files_[call.node].pending.push_back(&call);
        break;
      case DiskCallKind::kSync:
        make_durable(files_[call.node]);
        break;
      case DiskCallKind::kSyncNames:
        make_durable(directories_[call.node]);
        break;
      case DiskCallKind::kSyncAll:
        for (auto& [node, file] : files_) make_durable(file);
        for (auto& [node, directory] : directories_) make_durable(directory);
        break;
      case DiskCallKind::kMakeDirectory:
        directories_[call.node];
        [[fallthrough]];
      default:
        directories_[call.directory].pending.push_back(&call);
    }
  }

  void put_into(DiskImage& image, uint64_t directory = 0, const std::string& path = "") {
    for (const auto& [name, node] : names_left(directories_[directory])) {
      if (directories_.contains(node)) {
        image[path + name + "/"];
        put_into(image, node, path + name + "/");
      } else {
        image[path + name] = content_left(files_[node]);
      }
    }
  }

 private:
  bool chance(double share) { return std::bernoulli_distribution(share)(random_); }
  uint64_t below(uint64_t bound) { return random_() % bound; }

  std::map<std::string, uint64_t> names_left(const Directory& directory) {
    std::map<std::string, uint64_t> names = directory.durable;
    const size_t kept = below(directory.pending.size() + 1);
    const bool in_order = chance(0.7);
    for (size_t n = 0; n < kept; ++n) {
      const DiskCall& call = *directory.pending[n];
      if (!in_order && call.kind == DiskCallKind::kUnlink && chance(0.2)) continue;
      if (!in_order && call.kind == DiskCallKind::kCreate && chance(0.2)) {
        const bool renamed = std::any_of(
            directory.pending.begin(), directory.pending.begin() + static_cast<ptrdiff_t>(kept),
            [&call](const DiskCall* other) {
              return other->kind == DiskCallKind::kRename && other->node == call.node;
            });
        if (!renamed) continue;
      }
      apply(names, call);
    }
    return names;
  }

  std::vector<uint8_t> content_left(const File& file) {
    std::vector<uint8_t> content = file.durable;
    if (file.pending.empty() || chance(0.15)) return content;
    if (chance(0.15)) {
      for (const DiskCall* call : file.pending) apply(content, *call);
      return content;
    }
    if (chance(0.4)) {  // in order, and then the power went
      const size_t whole = below(file.pending.size());
      for (size_t n = 0; n < whole; ++n) apply(content, *file.pending[n]);
      put_sectors(content, *file.pending[whole], 0.5);
      return content;
    }
    const double share = std::uniform_real_distribution<double>(0.1, 1)(random_);
    for (const DiskCall* call : file.pending) put_sectors(content, *call, share);
    if (chance(0.3)) {  // the size made it, the sectors did not
      for (const DiskCall* call : file.pending) {
        if (call->kind == DiskCallKind::kWrite) {
          content.resize(std::max<uint64_t>(content.size(), call->offset + call->bytes.size()));
        }
      }
    }
    return content;
  }

  void put_sectors(std::vector<uint8_t>& content, const DiskCall& call, double share) {
    if (call.kind == DiskCallKind::kTruncate) {
      if (chance(share)) apply(content, call);
      return;
    }
    const uint64_t end = call.offset + call.bytes.size();
    for (uint64_t at = call.offset; at < end;) {
      const uint64_t next = std::min(end, (at / kSectorBytes + 1) * kSectorBytes);
      if (chance(share)) {
        put(content, at, std::span(call.bytes).subspan(at - call.offset, next - at));
      }
      at = next;
    }
  }

  std::mt19937& random_;
  std::map<uint64_t, File> files_;
  std::map<uint64_t, Directory> directories_;
};

}  // namespace

DiskImage after_power_cut(std::span<const DiskCall> calls, std::mt19937& random) {
  Disk disk(random);
  for (const DiskCall& call : calls) disk.take(call);
  DiskImage image;
  disk.put_into(image);
  return image;
}

void write_image(const DiskImage& image, const std::string& directory) {
  fs::remove_all(directory);
  fs::create_directories(directory);
  for (const auto& [name, content] : image) {
    const std::string path = directory + "/" + name;
    if (name.ends_with('/')) {
      fs::create_directories(path);
      continue;
    }
    const int fd = ::open(path.c_str(), O_CREAT | O_WRONLY | O_TRUNC, 0644);
    [[maybe_unused]] const ssize_t done = ::write(fd, content.data(), content.size());
    ::close(fd);
  }
}

}  // namespace barnabas::storage
