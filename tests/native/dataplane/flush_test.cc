// Group commit: with flush.messages neither the answer nor the high watermark precedes the
// fdatasync, many appends share one, and a failed one takes the partition offline.
#include <gtest/gtest.h>

#include <atomic>
#include <deque>

#include "base/thread_annotations.h"
#include "dataplane/broker_fixture.h"
#include "dataplane/delayed_produce.h"
#include "dataplane/flusher.h"
#include "dataplane/partition.h"
#include "storage/cleaner.h"
#include "storage/log_fork.h"

namespace barnabas::dataplane {
namespace {

/// A log in memory whose flush() waits until the test lets it end, well or badly.
class GatedLog final : public storage::Log {
 public:
  enum class Outcome : uint8_t { kSuccess, kFailure };

  void finish_flush(Outcome outcome) {
    MutexLock lock(mutex_);
    outcomes_.push_back(outcome);
    changed_.notify_all();
  }
  [[nodiscard]] bool flush_is_running() {
    MutexLock lock(mutex_);
    return running_;
  }

  Result<storage::AppendInfo> append(const storage::AppendBatch&, int32_t) override {
    MutexLock lock(mutex_);
    storage::AppendInfo info;
    info.base_offset = info.last_offset = end_++;
    info.needs_flush = wants_flush;
    return info;
  }
  Result<int64_t> flush() override {
    MutexLock lock(mutex_);
    const int64_t covered = end_;
    running_ = true;
    while (outcomes_.empty()) changed_.wait(mutex_);
    running_ = false;
    const Outcome outcome = outcomes_.front();
    outcomes_.pop_front();
    if (outcome == Outcome::kSuccess) return covered;
    offline_ = true;
    return Error{ErrorCode::kKafkaStorageError, "fdatasync: Input/output error", EIO};
  }
  [[nodiscard]] int64_t log_end_offset() const override {
    MutexLock lock(mutex_);
    return end_;
  }
  [[nodiscard]] bool offline() const override { return offline_; }
  [[nodiscard]] bool is_writing() const override { return false; }

  std::atomic<bool> wants_flush{true};  // what the next appends answer

  // Not used here.
  Result<storage::AppendInfo> append_as_follower(ByteView) override { return Error{}; }
  Status roll() override { return {}; }
  Status truncate_to(int64_t) override { return {}; }
  Status advance_log_start_offset(int64_t) override { return {}; }
  Status close() override { return {}; }
  Status mark_deleted() override { return {}; }
  Result<storage::CopySlice> read_to_copy(int64_t) override { return Error{}; }
  void pause_cleaning(bool) override {}
  Result<std::string> move_to(Log&, const std::function<Status()>&) override { return Error{}; }
  Result<std::unique_ptr<storage::LogFork>> begin_fork(uint64_t) override { return Error{}; }
  [[nodiscard]] std::vector<int64_t> last_aborts() const override { return {}; }
  Result<storage::ReadSlice> read(int64_t, uint64_t, int64_t, bool) override { return Error{}; }
  Result<storage::TimestampOffset> offset_for_timestamp(int64_t) override { return Error{}; }
  Result<storage::TimestampOffset> max_timestamp_offset() override { return Error{}; }
  storage::EpochEndOffset end_offset_for_epoch(int32_t) override { return {}; }
  int32_t epoch_for_offset(int64_t) override { return -1; }
  void mark_verified(int64_t, int16_t, std::string_view) override {}
  Result<storage::TransactionEntrance> begin_verification(int64_t, int16_t, int32_t, bool,
                                                          std::string_view) override {
    return storage::TransactionEntrance{};
  }
  [[nodiscard]] int64_t first_unstable_offset() const override { return INT64_MAX; }
  void advance_high_watermark(int64_t) override {}
  [[nodiscard]] std::vector<storage::ProducerInfo> producers() const override { return {}; }
  Result<storage::CommittedSlice> read_committed(int64_t, uint64_t, int64_t, bool) override {
    return Error{};
  }
  [[nodiscard]] int64_t log_start_offset() const override { return 0; }
  [[nodiscard]] int64_t recovery_point() const override { return 0; }
  [[nodiscard]] int32_t latest_epoch() const override { return 0; }
  [[nodiscard]] int64_t active_segment_base_offset() const override { return 0; }
  [[nodiscard]] uint64_t size_bytes() const override { return 0; }
  [[nodiscard]] size_t segment_count() const override { return 1; }
  [[nodiscard]] const Uuid& topic_id() const override { return id_; }
  [[nodiscard]] const storage::RecoveryReport& recovery_report() const override { return report_; }
  [[nodiscard]] std::string directory() const override { return directory_; }
  void set_config(const storage::LogConfig&) override {}
  void maintain(int64_t) override {}
  void remove_due_files() override {}
  void rebuild_transactions() override {}
  storage::Cleanable cleanable(int64_t) override { return {}; }
  Result<storage::CleanStats> clean(int64_t, const storage::CleanSettings&) override {
    return storage::CleanStats{};
  }
  [[nodiscard]] int64_t cleaned_offset() const override { return 0; }
  Result<std::vector<Error>> scrub(const storage::ScrubPace&) override {
    return std::vector<Error>();
  }
  void begin_leader_epoch(int32_t) override {}

 private:
  mutable Mutex mutex_;
  ConditionVariable changed_;
  int64_t end_ GUARDED_BY(mutex_) = 0;
  bool running_ GUARDED_BY(mutex_) = false;
  std::deque<Outcome> outcomes_ GUARDED_BY(mutex_);
  std::atomic<bool> offline_{false};
  const Uuid id_{};
  const storage::RecoveryReport report_{};
  const std::string directory_{};
};

class GroupCommitTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto log = std::make_unique<GatedLog>();
    log_ = log.get();
    partition_ = std::make_shared<Partition>(
        std::make_shared<const TopicIdentity>(TopicIdentity{"t", id_of(1)}), 0, 0, std::move(log));
  }
  int64_t append() {
    const auto info = partition_->append({}, flusher_);
    EXPECT_TRUE(info.ok());
    return info.ok() ? info->last_offset : -1;
  }
  bool flush_runs() {
    return eventually([this] { return log_->flush_is_running(); });
  }
  bool high_watermark_is(int64_t offset) {
    return eventually([this, offset] { return partition_->high_watermark() == offset; });
  }

  GatedLog* log_ = nullptr;  // owned by partition_
  std::shared_ptr<Partition> partition_;
  Flusher flusher_;  // stopped before the partition goes
};

TEST_F(GroupCommitTest, the_high_watermark_waits_for_the_flush) {
  append();
  ASSERT_TRUE(flush_runs());
  EXPECT_EQ(partition_->high_watermark(), 0);
  log_->finish_flush(GatedLog::Outcome::kSuccess);
  EXPECT_TRUE(high_watermark_is(1));
}

TEST_F(GroupCommitTest, appends_during_a_flush_share_the_next_one) {
  append();
  ASSERT_TRUE(flush_runs());
  for (int i = 0; i < 50; ++i) append();
  EXPECT_EQ(partition_->high_watermark(), 0);
  log_->finish_flush(GatedLog::Outcome::kSuccess);
  EXPECT_TRUE(high_watermark_is(1));
  ASSERT_TRUE(flush_runs());
  log_->finish_flush(GatedLog::Outcome::kSuccess);
  EXPECT_TRUE(high_watermark_is(51));
  EXPECT_EQ(flusher_.flush_count(), 2U);
}

TEST_F(GroupCommitTest, a_flush_that_no_append_asked_for_holds_nothing_back) {
  log_->wants_flush = false;
  flusher_.request(partition_);
  ASSERT_TRUE(flush_runs());
  append();
  EXPECT_EQ(partition_->high_watermark(), 1);
  log_->finish_flush(GatedLog::Outcome::kSuccess);
}

TEST_F(GroupCommitTest, what_follows_a_batch_that_waits_for_its_flush_waits_too) {
  append();
  ASSERT_TRUE(flush_runs());
  log_->wants_flush = false;
  append();
  EXPECT_EQ(partition_->high_watermark(), 0);
  log_->finish_flush(GatedLog::Outcome::kSuccess);
  log_->finish_flush(GatedLog::Outcome::kSuccess);
  EXPECT_TRUE(high_watermark_is(2));
  append();
  EXPECT_EQ(partition_->high_watermark(), 3);
}

TEST_F(GroupCommitTest, after_a_failed_flush_the_partition_is_offline_and_nothing_is_committed) {
  append();
  log_->finish_flush(GatedLog::Outcome::kFailure);
  EXPECT_TRUE(eventually([this] { return partition_->offline(); }));
  EXPECT_EQ(partition_->high_watermark(), 0);
  const auto refused = partition_->append({}, flusher_);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::kKafkaStorageError);
}

/// Takes what a DelayedProduce answers; its one reactor is the test's thread.
class RecordingServer final : public net::Server {
 public:
  std::vector<net::Response> answers;
  std::vector<net::Task> tasks;
  net::Task timer;

  void run_tasks() {
    for (auto& task : std::exchange(tasks, {})) task();
  }
  void post(uint32_t, net::Task task) override {
    MutexLock lock(mutex_);
    tasks.push_back(std::move(task));
  }
  size_t task_count() {
    MutexLock lock(mutex_);
    return tasks.size();
  }
  [[nodiscard]] bool is_connected(const net::RequestToken&) const override { return true; }
  void respond(net::RequestToken, net::Response response) override {
    answers.push_back(std::move(response));
  }
  net::TimerId add_timer(uint32_t, int64_t, net::Task task) override {
    timer = std::move(task);
    return 1;
  }
  void cancel_timer(uint32_t, net::TimerId) override {}
  Result<uint16_t> listen(const std::string&, uint16_t) override { return Error{}; }
  Status start() override { return {}; }
  void stop(int64_t) override {}
  void set_config(const net::ServerConfig&) override {}
  void run_due_timers() override {}
  void resume_paused() override {}
  [[nodiscard]] net::ServerStats stats() const override { return {}; }
  [[nodiscard]] uint32_t reactor_count() const override { return 1; }
  [[nodiscard]] std::optional<uint32_t> current_reactor() const override { return std::nullopt; }

 private:
  Mutex mutex_;
};

class DelayedProduceTest : public GroupCommitTest {
 protected:
  /// One appended batch whose answer is four bytes: padding and the error code.
  std::shared_ptr<DelayedProduce> start_one() {
    std::vector<DelayedProduce::Pending> pending;
    pending.push_back({partition_, append() + 1, 2});
    auto operation = std::make_shared<DelayedProduce>(purgatory_, server_, net::RequestToken{},
                                                      net::Bytes(4), std::move(pending));
    operation->start(0);
    return operation;
  }
  ErrorCode answered_error() {
    EXPECT_EQ(server_.answers.size(), 1U);
    if (server_.answers.empty()) return ErrorCode::kUnknownServerError;
    const auto& bytes = std::get<net::Bytes>(server_.answers[0].chunks.at(0));
    return static_cast<ErrorCode>(load_be<int16_t>(bytes.data() + 2));
  }

  RecordingServer server_;
  Purgatory purgatory_{server_, 1};
};

TEST_F(DelayedProduceTest, the_answer_waits_for_the_flush) {
  start_one();
  ASSERT_TRUE(flush_runs());
  server_.run_tasks();
  EXPECT_TRUE(server_.answers.empty());
  EXPECT_EQ(purgatory_.parked_count(), 1);
  log_->finish_flush(GatedLog::Outcome::kSuccess);
  ASSERT_TRUE(eventually([this] { return server_.task_count() == 1; }));
  server_.run_tasks();
  EXPECT_EQ(answered_error(), ErrorCode::kNone);
  EXPECT_EQ(purgatory_.parked_count(), 0);
}

TEST_F(DelayedProduceTest, a_failed_flush_is_a_storage_error) {
  start_one();
  log_->finish_flush(GatedLog::Outcome::kFailure);
  ASSERT_TRUE(eventually([this] { return server_.task_count() == 1; }));
  server_.run_tasks();
  EXPECT_EQ(answered_error(), ErrorCode::kKafkaStorageError);
}

TEST_F(DelayedProduceTest, a_deleted_topic_answers_unknown_topic) {
  start_one();
  ASSERT_TRUE(flush_runs());
  partition_->mark_deleted();
  server_.run_tasks();
  EXPECT_EQ(answered_error(), ErrorCode::kUnknownTopicOrPartition);
  log_->finish_flush(GatedLog::Outcome::kSuccess);
}

TEST_F(DelayedProduceTest, the_deadline_answers_request_timed_out_once) {
  const auto operation = start_one();
  ASSERT_TRUE(flush_runs());
  server_.timer();
  EXPECT_EQ(answered_error(), ErrorCode::kRequestTimedOut);
  log_->finish_flush(GatedLog::Outcome::kSuccess);
  EXPECT_TRUE(high_watermark_is(1));
  server_.run_tasks();
  EXPECT_EQ(server_.answers.size(), 1U);
}

class FlushingBrokerTest : public BrokerTest {
 protected:
  void SetUp() override {
    open();
    create("t", 4, {{"flush.messages", int64_t{1}}});
    start();
  }
};

TEST_F(FlushingBrokerTest, an_answered_record_is_below_the_recovery_point) {
  BrokerClient client(port_);
  EXPECT_EQ(client.produce_one({}).error, ErrorCode::kNone);
  EXPECT_EQ(engine_->partition_info("t", 0)->high_watermark, 1);
  EXPECT_GE(stat("flushes"), 1);
}

TEST_F(FlushingBrokerTest, pipelined_requests_share_flushes) {
  BrokerClient client(port_);
  constexpr int kRequests = 100;
  for (int i = 0; i < kRequests; ++i) client.send(ProduceSpec{});
  for (int i = 0; i < kRequests; ++i) {
    EXPECT_EQ(decode_produce(client.receive(), 9)[0].base_offset, i);
  }
  EXPECT_LT(stat("flushes"), kRequests);
}

TEST_F(FlushingBrokerTest, an_idempotent_retry_waits_for_the_flush_of_the_first_try) {
  BrokerClient client(port_);
  const auto batch = produce_of(storage::make_batch({.producer_id = 3}));
  client.send(batch);
  client.send(batch);
  for (int i = 0; i < 2; ++i) {
    const auto answer = decode_produce(client.receive(), 9)[0];
    EXPECT_EQ(answer.error, ErrorCode::kNone);
    EXPECT_EQ(answer.base_offset, 0);
  }
  EXPECT_EQ(engine_->partition_info("t", 0)->high_watermark, 1);
}

TEST_F(FlushingBrokerTest, acks_0_and_1_and_waiting_fetches_work_as_without_flushing) {
  BrokerClient consumer(port_);
  FetchSpec fetch;
  fetch.max_wait_ms = 20'000;
  consumer.send(fetch);
  ASSERT_TRUE(parked(1));
  BrokerClient producer(port_);
  ProduceSpec spec;
  spec.acks = 0;
  producer.send(spec);
  EXPECT_EQ(base_offsets(decode_fetch(consumer.receive(), fetch.version).parts[0].records),
            std::vector<int64_t>{0});
  spec.acks = 1;
  EXPECT_EQ(producer.produce_one(spec).base_offset, 1);
}

TEST_F(FlushingBrokerTest, appends_of_coordinators_hear_of_their_durability) {
  const std::string key = "k";
  const CoordinatorAppend append{
      .topic = "t", .partition = 0, .records = {{as_bytes(key), as_bytes(key)}}};
  const std::vector<CoordinatorAppend> appends(10, append);
  std::atomic<int64_t> heard{0};
  const auto outcomes = engine_->append_all(appends, [&](size_t index, ErrorCode error) {
    EXPECT_EQ(error, ErrorCode::kNone);
    EXPECT_GT(engine_->partition_info("t", 0)->high_watermark, static_cast<int64_t>(index));
    ++heard;
  });
  for (const auto& outcome : outcomes) heard += outcome == ErrorCode::kNone;
  EXPECT_TRUE(eventually([&] { return heard == 10; }));
  EXPECT_EQ(engine_->partition_info("t", 0)->high_watermark, 10);
}

}  // namespace
}  // namespace barnabas::dataplane
