#include "embedded/producer.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "record/key_hash.h"

namespace barnabas::embedded {
namespace {

record::BatchOptions batch_options(const ProducerOptions& options) {
  record::BatchOptions batch;
  batch.codec = options.codec;
  batch.level = options.level;
  batch.transactional = options.transactional;
  return batch;
}

/// The batches of one send_many, one open a partition.
class ColumnSender {
 public:
  ColumnSender(TopicLanes& topic, int32_t count, const record::BatchOptions& options,
               size_t limit_bytes)
      : topic_(topic), options_(options), limit_bytes_(limit_bytes) {
    builders_.resize(static_cast<size_t>(count));
    choose_keyless();
  }

  bool add(int32_t partition, const OutgoingRecord& record) {
    auto& builder = builders_[static_cast<size_t>(partition)];
    if (builder == nullptr) builder = std::make_unique<record::BatchBuilder>(options_);
    if (builder->record_count() > 0 &&
        builder->size_bytes() + encoded_size_limit(record) > limit_bytes_ && !append(partition)) {
      return false;
    }
    builder->append(record.timestamp_ms, record.key, record.value, record.headers);
    return true;
  }

  [[nodiscard]] int32_t choose(const std::optional<ByteView>& key) const {
    return key ? record::partition_of_key(*key, count()) : keyless_;
  }

  SentColumns finish() && {
    for (size_t i = 0; i < builders_.size() && sent_.error == ErrorCode::kNone; ++i) {
      if (builders_[i] != nullptr && builders_[i]->record_count() > 0) {
        append(static_cast<int32_t>(i));
      }
    }
    return std::move(sent_);
  }

 private:
  /// A topic that grows or shrinks meanwhile keeps its keys where they were until this is over.
  [[nodiscard]] int32_t count() const { return static_cast<int32_t>(builders_.size()); }
  void choose_keyless() { keyless_ = topic_.choose(std::nullopt) % count(); }

  bool append(int32_t partition) {
    record::BatchBuilder& builder = *builders_[static_cast<size_t>(partition)];
    const int64_t records = builder.record_count();
    std::optional<Lane::Appended> appended = topic_[partition].append(builder);
    if (!appended) {
      sent_.error = ErrorCode::kNotLeaderOrFollower;
      sent_.is_closed = true;
      return false;
    }
    topic_.move_on(partition);
    choose_keyless();
    if (!appended->result.ok()) {
      sent_.error = appended->result.error().code;
      sent_.message = std::move(appended->result).error().message;
      return false;
    }
    if (!appended->outcome->done()) sent_.unfinished.push_back(std::move(appended->outcome));
    const int64_t base_offset = appended->result->base_offset;
    auto& spans = sent_.spans;
    if (!spans.empty() && spans.back().partition == partition &&
        spans.back().base_offset + spans.back().count == base_offset) {
      spans.back().count += records;
    } else {
      spans.push_back({partition, base_offset, records});
    }
    return true;
  }

  TopicLanes& topic_;
  const record::BatchOptions options_;
  const size_t limit_bytes_;
  std::vector<std::unique_ptr<record::BatchBuilder>> builders_;
  int32_t keyless_ = 0;
  SentColumns sent_;
};

}  // namespace

Producer::Producer(dataplane::Engine& engine, const ProducerOptions& options)
    : engine_(engine),
      batch_bytes_(options.batch_bytes),
      batch_options_(batch_options(options)),
      linger_(options.linger_ns) {}

Result<TopicLanes*> Producer::topic(std::string_view name) {
  MutexLock lock(mutex_);
  auto& topic = topics_[std::string(name)];
  if (topic == nullptr) {
    topic = std::make_unique<TopicLanes>(engine_, std::string(name), batch_options_, teller_);
    if (closed_) topic->close();
  }
  BARNABAS_TRY(topic->refresh());
  return topic.get();
}

Lane::Place Producer::add(TopicLanes& topic, int32_t partition, const OutgoingRecord& record) {
  Lane::Place place = topic[partition].add(record, limit(topic));
  if (place.added == Lane::Added::kFirst) linger_.watch(topic, partition, place.outcome);
  return place;
}

// Flattened: what a call costs here, every record pays.
[[gnu::flatten]] SentColumns Producer::send_many(TopicLanes& topic, int32_t partition,
                                                 const OutgoingColumns& columns) {
  const int32_t count = std::max(topic.count(), partition + 1);
  ColumnSender sender(topic, count, batch_options_, limit(topic));
  for (size_t i = 0; i < columns.size(); ++i) {
    const OutgoingRecord record = columns.at(i);
    if (!sender.add(partition >= 0 ? partition : sender.choose(record.key), record)) break;
  }
  return std::move(sender).finish();
}

std::vector<std::shared_ptr<Outcome>> Producer::drain_all() {
  std::vector<std::shared_ptr<Outcome>> unfinished;
  for (TopicLanes* const topic : topics()) {
    for (int32_t partition = 0; partition < topic->size(); ++partition) {
      topic->drain(partition);
      (*topic)[partition].collect_unfinished(unfinished);
    }
  }
  return unfinished;
}

std::vector<std::shared_ptr<Outcome>> Producer::hurry_all() {
  std::vector<std::shared_ptr<Outcome>> unfinished;
  for (TopicLanes* const topic : topics()) {
    for (int32_t partition = 0; partition < topic->size(); ++partition) {
      Lane& lane = (*topic)[partition];
      auto open = lane.open_outcome();
      if (open != nullptr) {
        unfinished.push_back(open);
        hurry(*topic, partition, std::move(open));
      }
      lane.collect_unfinished(unfinished);  // after that: what was open may have gone meanwhile
    }
  }
  return unfinished;
}

Result<storage::VerificationGuard> Producer::begin_transaction(
    TopicLanes& topic, int32_t partition, const dataplane::TransactionalProducer& producer) {
  return engine_.begin_transaction(topic.name(), partition, producer,
                                   topic[partition].next_sequence(producer));
}

std::optional<Error> Producer::transaction_error() {
  for (TopicLanes* const topic : topics()) {
    for (int32_t partition = 0; partition < topic->size(); ++partition) {
      if (auto error = (*topic)[partition].transaction_error()) return error;
    }
  }
  return std::nullopt;
}

void Producer::shut_transaction(bool discards) {
  for (TopicLanes* const topic : topics()) {
    for (int32_t partition = 0; partition < topic->size(); ++partition) {
      (*topic)[partition].shut(discards);
    }
  }
}

void Producer::leave_transaction() {
  for (TopicLanes* const topic : topics()) {
    for (int32_t partition = 0; partition < topic->size(); ++partition) {
      (*topic)[partition].leave();
    }
  }
}

void Producer::close() {
  {
    MutexLock lock(mutex_);
    closed_ = true;
  }
  linger_.stop();
  for (TopicLanes* const topic : topics()) topic->close();
}

std::vector<TopicLanes*> Producer::topics() {
  MutexLock lock(mutex_);
  std::vector<TopicLanes*> topics;
  for (const auto& [name, topic] : topics_) topics.push_back(topic.get());
  return topics;
}

}  // namespace barnabas::embedded
