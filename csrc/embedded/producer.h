// A producer in this process: records into batches, batches into the log, no socket in between.
//
//   send -> the partition's open batch -> full: the caller appends it; not: Linger does, or whoever
//   waits for it
//
// Nothing is ever sent twice, so that there is nothing to be made idempotent: a batch is in the log
// when produce returns, or it is refused.
//
// Ownership: borrows the engine. Thread-safety: every method may be called from any thread.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/thread_annotations.h"
#include "dataplane/engine.h"
#include "embedded/linger.h"
#include "embedded/outgoing.h"
#include "embedded/topic_lanes.h"

namespace barnabas::embedded {

struct ProducerOptions {
  record::Codec codec = record::Codec::kNone;
  int level = record::kDefaultLevel;
  size_t batch_bytes = 128 << 10;  // before compression; a larger record is a batch of its own
  int64_t linger_ns = 0;
  bool transactional = false;
};

/// Consecutive records of a send_many that went to one partition.
struct SentSpan {
  int32_t partition = 0;
  int64_t base_offset = 0;
  int64_t count = 0;
};

/// What became of a send_many. After an error, `spans` are what was appended before it.
struct SentColumns {
  std::vector<SentSpan> spans;                       // in the order of appending
  std::vector<std::shared_ptr<Outcome>> unfinished;  // not as durable as the topic wants it yet
  ErrorCode error = ErrorCode::kNone;
  std::string message;
  bool is_closed = false;  // the producer was closed meanwhile: that is the error
};

class Producer {
 public:
  Producer(dataplane::Engine& engine, const ProducerOptions& options);
  ~Producer() { close(); }

  /// Stays valid as long as the producer. kUnknownTopicOrPartition when it is not there.
  Result<TopicLanes*> topic(std::string_view name) EXCLUDES(mutex_);
  [[nodiscard]] int64_t now_ms() const { return engine_.now_ms(); }

  /// Adds to the open batch of a partition of the topic.
  Lane::Place add(TopicLanes& topic, int32_t partition, const OutgoingRecord& record);
  /// Appends the partition's open batch to the log. May wait for a disk.
  void drain(TopicLanes& topic, int32_t partition) { topic.drain(partition); }
  /// Has it appended soon, by another thread.
  void hurry(TopicLanes& topic, int32_t partition, std::shared_ptr<Outcome> batch) {
    linger_.hurry(topic, partition, std::move(batch));
  }
  /// Appends all records before it returns. `partition` -1: by key, or in turn. Stops at the first
  /// error. May wait for a disk.
  SentColumns send_many(TopicLanes& topic, int32_t partition, const OutgoingColumns& columns);
  /// Appends all open batches, and returns those that are still to become durable. May wait for a
  /// disk.
  std::vector<std::shared_ptr<Outcome>> drain_all() EXCLUDES(mutex_);
  /// Has all open batches appended by another thread, and returns those that are not done yet.
  std::vector<std::shared_ptr<Outcome>> hurry_all() EXCLUDES(mutex_);
  /// Who calls what waits for batches.
  [[nodiscard]] Teller& teller() { return *teller_; }

  /// Before a partition's first batch in a transaction: see Engine::begin_transaction.
  Result<storage::VerificationGuard> begin_transaction(
      TopicLanes& topic, int32_t partition, const dataplane::TransactionalProducer& producer);
  /// Why the transaction cannot be committed: a batch of it was refused.
  [[nodiscard]] std::optional<Error> transaction_error() EXCLUDES(mutex_);
  /// The transaction is about to end: partitions take nothing before they join the next one. What
  /// is open stays to be drained; with `discards` it is refused.
  void shut_transaction(bool discards) EXCLUDES(mutex_);
  /// The transaction is over. REQUIRES: it was shut, and all that was taken is done
  void leave_transaction() EXCLUDES(mutex_);

  /// Takes no more, appends what is open, and stops the thread. May be repeated.
  void close() EXCLUDES(mutex_);

 private:
  [[nodiscard]] std::vector<TopicLanes*> topics() EXCLUDES(mutex_);
  [[nodiscard]] size_t limit(const TopicLanes& topic) const {
    return std::min(batch_bytes_, topic.max_message_bytes());
  }

  dataplane::Engine& engine_;
  const size_t batch_bytes_;
  const record::BatchOptions batch_options_;
  const std::shared_ptr<Teller> teller_ = Teller::create();
  Linger linger_;
  Mutex mutex_;
  std::unordered_map<std::string, std::unique_ptr<TopicLanes>> topics_ GUARDED_BY(mutex_);
  bool closed_ GUARDED_BY(mutex_) = false;
};

}  // namespace barnabas::embedded
