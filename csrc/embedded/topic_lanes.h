// The partitions of one topic as a producer in this process sees them. A topic that is made again
// may have fewer than before: lanes stay, for what was added to them, and nothing is sent there.
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
  TopicLanes(dataplane::Engine& engine, std::string name, const record::BatchOptions& options,
             std::shared_ptr<Teller> teller)
      : engine_(engine),
        changes_(engine.topic_changes()),
        name_(std::move(name)),
        options_(options),
        teller_(std::move(teller)) {}

  [[nodiscard]] const std::string& name() const { return name_; }
  /// How many partitions the topic has.
  [[nodiscard]] int32_t count() const { return count_.load(std::memory_order_acquire); }
  /// Whether a topic has come, changed or gone since this one was found; before refresh(), too.
  [[nodiscard]] bool is_stale() const {
    return found_at_.load(std::memory_order_relaxed) != changes_.load(std::memory_order_relaxed);
  }
  /// How many lanes there are.
  [[nodiscard]] int32_t size() const {
    const Lanes* const lanes = lanes_.load(std::memory_order_acquire);
    return lanes == nullptr ? 0 : static_cast<int32_t>(lanes->size());
  }
  // REQUIRES: 0 <= partition < size(), as what count() and choose() have ever returned is
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
  /// Appends the partition's open batch to the log; with `only`, if it is still that one. May wait
  /// for a disk.
  void drain(int32_t partition, const Outcome* only = nullptr) EXCLUDES(mutex_);

  /// Learns which partitions and limits the topic has by now.
  Status refresh() EXCLUDES(mutex_);
  /// From now on nothing is added; what was is written when this returns. May wait for a disk.
  void close() EXCLUDES(mutex_);

 private:
  using Lanes = std::vector<Lane*>;

  static constexpr uint64_t kNotFound = ~uint64_t{0};

  dataplane::Engine& engine_;
  const std::atomic<uint64_t>& changes_;  // the engine's count of them
  const std::string name_;
  const record::BatchOptions options_;
  const std::shared_ptr<Teller> teller_;
  std::atomic<int32_t> count_{0};
  std::atomic<const Lanes*> lanes_{nullptr};
  std::atomic<size_t> max_message_bytes_{0};
  std::atomic<int32_t> keyless_{0};
  std::atomic<uint64_t> found_at_{kNotFound};  // which of the changes

  Mutex mutex_;  // of what follows, and of growing and shrinking
  bool closed_ GUARDED_BY(mutex_) = false;
  std::vector<std::unique_ptr<Lane>> owned_ GUARDED_BY(mutex_);
  /// All there have ever been: somebody may still look into an old one.
  std::vector<std::unique_ptr<const Lanes>> snapshots_ GUARDED_BY(mutex_);
};

}  // namespace barnabas::embedded
