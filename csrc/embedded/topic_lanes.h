// The partitions of one topic as a producer in this process sees them.
//
// Ownership: lanes live as long as this. Thread-safety: every method may be called from any thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/thread_annotations.h"
#include "dataplane/engine.h"
#include "embedded/lane.h"

namespace barnabas::embedded {

class TopicLanes {
 public:
  TopicLanes(dataplane::Engine& engine, std::string name, const record::BatchOptions& options)
      : engine_(engine), name_(std::move(name)), options_(options) {}

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] int32_t count() const {
    const Lanes* const lanes = lanes_.load(std::memory_order_acquire);
    return lanes == nullptr ? 0 : static_cast<int32_t>(lanes->size());
  }
  // REQUIRES: 0 <= partition < count()
  [[nodiscard]] Lane& operator[](int32_t partition) const {
    return *(*lanes_.load(std::memory_order_acquire))[static_cast<size_t>(partition)];
  }
  /// Bytes of a batch that the topic takes.
  [[nodiscard]] size_t max_message_bytes() const { return max_message_bytes_; }

  /// Where a record goes: by its key as with Kafka's clients, without one to the partition of the
  /// hour. REQUIRES: count() > 0
  [[nodiscard]] int32_t choose(const std::optional<ByteView>& key) const;
  /// A batch of `partition` is complete: records without a key go on to the next one.
  void move_on(int32_t partition);

  /// Learns of partitions and limits that the topic has got meanwhile.
  Status refresh() EXCLUDES(mutex_);

 private:
  using Lanes = std::vector<Lane*>;

  dataplane::Engine& engine_;
  const std::string name_;
  const record::BatchOptions options_;
  std::atomic<const Lanes*> lanes_{nullptr};
  std::atomic<size_t> max_message_bytes_{0};
  std::atomic<int32_t> keyless_{0};

  Mutex mutex_;  // of growing
  std::vector<std::unique_ptr<Lane>> owned_ GUARDED_BY(mutex_);
  /// All there have ever been: somebody may still look into an old one.
  std::vector<std::unique_ptr<const Lanes>> snapshots_ GUARDED_BY(mutex_);
};

}  // namespace barnabas::embedded
