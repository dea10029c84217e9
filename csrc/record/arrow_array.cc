#include "record/arrow_array.h"

#include <algorithm>
#include <cstdlib>
#include <initializer_list>
#include <memory>
#include <new>
#include <utility>
#include <vector>

#include "base/thread_annotations.h"

namespace barnabas::record {
namespace {

/// Memory of zeros that nobody writes to, so that it costs address space: what is all null, or has
/// no headers, looks like that.
class Zeros {
 public:
  /// At least as many.
  std::shared_ptr<const void> get(size_t bytes) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    if (bytes > bytes_) {
      bytes_ = std::max({bytes, 2 * bytes_, kLeastBytes});
      zeros_ = std::shared_ptr<const void>(std::calloc(bytes_, 1), std::free);
      if (zeros_ == nullptr) {
        bytes_ = 0;
        throw std::bad_alloc();
      }
    }
    return zeros_;
  }

 private:
  static constexpr size_t kLeastBytes = 1 << 20;  // beyond what an allocator keeps, and writes to

  Mutex mutex_;
  std::shared_ptr<const void> zeros_ GUARDED_BY(mutex_);
  size_t bytes_ GUARDED_BY(mutex_) = 0;
};

Zeros& shared_zeros() {
  static Zeros zeros;
  return zeros;
}

/// What all arrays of one export lie in.
struct Memory {
  std::shared_ptr<const void> owner;
  std::shared_ptr<const void> zeros;
  std::vector<int32_t> partitions;
  std::vector<int64_t> header_offsets;
  std::vector<int64_t> buffer_bytes;
};

/// What one array has of its own.
struct Node {
  std::shared_ptr<const Memory> memory;
  std::vector<const void*> buffers;
  std::vector<ArrowArray> children;
  std::vector<ArrowArray*> child_pointers;
};

void release(ArrowArray* array) {
  const std::unique_ptr<Node> node(static_cast<Node*>(array->private_data));
  for (ArrowArray& child : node->children) {
    if (child.release != nullptr) child.release(&child);  // unless it was moved elsewhere
  }
  array->release = nullptr;
}

class Exporter {
 public:
  Exporter(const RecordColumns& columns, std::shared_ptr<const Memory> memory)
      : columns_(columns), memory_(std::move(memory)) {}

  void batch(ArrowArray& out) const {
    Node& node = array(out, columns_.offsets.size(), {nullptr}, 6);
    fixed(node.children[0], memory_->partitions.data());
    fixed(node.children[1], columns_.offsets.data());
    fixed(node.children[2], columns_.timestamps.data());
    strings(node.children[3], columns_.keys);
    strings(node.children[4], columns_.values);
    headers(node.children[5]);
  }

 private:
  /// Fills `out` with an array whose children are to be filled.
  Node& array(ArrowArray& out, size_t length, std::initializer_list<const void*> buffers,
              size_t children) const {
    auto node = std::make_unique<Node>(Node{memory_, buffers, {}, {}});
    node->children.resize(children);
    for (ArrowArray& child : node->children) node->child_pointers.push_back(&child);
    out = {};
    out.length = static_cast<int64_t>(length);
    out.n_buffers = static_cast<int64_t>(buffers.size());
    out.n_children = static_cast<int64_t>(children);
    out.buffers = node->buffers.data();
    out.children = node->child_pointers.data();
    out.release = release;
    out.private_data = node.get();
    return *node.release();
  }

  void fixed(ArrowArray& out, const void* values) const {
    array(out, columns_.offsets.size(), {nullptr, values}, 0);
  }

  void strings(ArrowArray& out, const BinaryColumn& column) const {
    Node& node = array(out, column.size(), {}, 0);
    const void* const zeros = memory_->zeros.get();
    if (column.all_null()) {
      node.buffers = {zeros, zeros};
    } else {
      const bool has_nulls = !column.validity().empty();
      node.buffers = {has_nulls ? column.validity().data() : nullptr, column.views().data()};
      for (const ByteView buffer : columns_.buffers) node.buffers.push_back(buffer.data());
    }
    node.buffers.push_back(memory_->buffer_bytes.data());  // of those between it and the views
    out.null_count = static_cast<int64_t>(column.null_count());
    out.n_buffers = static_cast<int64_t>(node.buffers.size());
    out.buffers = node.buffers.data();
  }

  void headers(ArrowArray& out) const {
    const void* const offsets =
        memory_->header_offsets.empty() ? memory_->zeros.get() : memory_->header_offsets.data();
    Node& list = array(out, columns_.offsets.size(), {nullptr, offsets}, 1);
    Node& pairs = array(list.children[0], columns_.header_keys.size(), {nullptr}, 2);
    strings(pairs.children[0], columns_.header_keys);
    strings(pairs.children[1], columns_.header_values);
  }

  const RecordColumns& columns_;
  const std::shared_ptr<const Memory> memory_;
};

}  // namespace

void export_arrow(const RecordColumns& columns, int32_t partition, void* owner,
                  void (*let_go)(void*), ArrowArray* out) {
  *out = {};
  std::shared_ptr<const void> kept(owner, let_go);
  const auto memory = std::make_shared<Memory>();
  memory->owner = std::move(kept);
  const size_t size = columns.offsets.size();
  memory->zeros = shared_zeros().get(
      std::max(size, columns.header_values.size()) * sizeof(BinaryView) + sizeof(int64_t));
  memory->partitions.assign(size, partition);
  for (const ByteView buffer : columns.buffers) {
    memory->buffer_bytes.push_back(static_cast<int64_t>(buffer.size()));
  }
  if (!columns.header_ends.empty()) {
    memory->header_offsets.reserve(size + 1);
    memory->header_offsets.push_back(0);
    memory->header_offsets.insert(memory->header_offsets.end(), columns.header_ends.begin(),
                                  columns.header_ends.end());
  }
  Exporter(columns, memory).batch(*out);
}

}  // namespace barnabas::record
