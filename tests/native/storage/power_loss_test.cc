// Power cuts: whatever the disk holds of what was not fsynced, a log opens, what was durable is in
// it, and nothing else than what was written.
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <iostream>

#include "base/crc32c.h"
#include "log_life.h"
#include "power_cut.h"
#include "record/end_marker.h"

namespace barnabas::storage {
namespace {

namespace fs = std::filesystem;

constexpr int kLives = 45;
constexpr int kCutsPerLife = 50;
constexpr int kSteps = 60;

/// BARNABAS_SEED, or one that no run has had.
uint32_t base_seed() {
  static const uint32_t seed = [] {
    const char* const given = std::getenv("BARNABAS_SEED");
    const uint32_t chosen = given != nullptr
                                ? static_cast<uint32_t>(std::strtoul(given, nullptr, 10))
                                : std::random_device()();
    std::cout << "seed " << chosen << " (repeat with BARNABAS_SEED=" << chosen << ")\n";
    return chosen;
  }();
  return seed;
}

/// Memory, where there is some: thousands of disks are made.
std::string fast_directory() {
  const bool shared_memory = ::access("/dev/shm", W_OK) == 0;
  return shared_memory ? "/dev/shm" : fs::temp_directory_path().string();
}

/// A log that was opened on what a power cut has left, and what its life says of it.
class Survivor {
 public:
  Survivor(const LogLife& life, size_t time, OpenLog& open)
      : life_(life), time_(time), log_(*open.log) {
    for (const OffsetSince& durable : life.durable) {
      if (durable.time <= time) durable_ = durable;
    }
    for (const OffsetSince& start : life.starts) {
      if (start.time < time) most_start_ = std::max(most_start_, start.offset);
    }
    for (const OffsetSince& start : life.durable_start) {
      if (start.time <= time) least_start_ = std::max(least_start_, start.offset);
    }
    read();
  }

  void check(std::mt19937& random) {
    check_ends();
    check_each_is_from_life();
    life_.config().compact ? check_values_are_kept() : check_batches_are_kept();
    if (::testing::Test::HasFailure() || !replay()) return;
    check_producers();
    check_transactions();
    check_epochs();
    check_look_ups(random);
  }

  [[nodiscard]] const std::vector<std::vector<uint8_t>>& found() const { return found_; }

 private:
  static record::BatchView view(const std::vector<uint8_t>& bytes) {
    return record::BatchView{ByteView(bytes)};
  }

  void read() {
    int64_t offset = log_.log_start_offset();
    while (offset < log_.log_end_offset()) {
      const auto slice = log_.read_committed(offset, 1 << 20, log_.log_end_offset(), true);
      ASSERT_TRUE(slice.ok()) << slice.error().message;
      if (slice->first_batch_bytes == 0) return;  // compaction has left nothing up to the end
      std::vector<uint8_t> bytes(slice->file.length);
      ASSERT_TRUE(read_at(slice->file.file->get(), bytes, slice->file.position, "").ok());
      ByteView rest(bytes);
      while (const auto batch = record::peek_batch(rest)) {
        ASSERT_EQ(batch->crc(), crc32c(batch->crc_payload())) << "at " << batch->base_offset();
        found_.emplace_back(batch->bytes().begin(), batch->bytes().end());
        aborted_.push_back(slice->aborted);
        offset = batch->next_offset();
        rest = rest.subspan(batch->size_bytes());
      }
    }
  }

  void check_ends() {
    EXPECT_GE(log_.log_end_offset(), std::min(durable_.offset, end_if_cut()));
    // Beyond what is durable the first segments may be missing, too.
    if (log_.log_start_offset() <= durable_.offset) {
      EXPECT_LE(log_.log_start_offset(), most_start_);
    }
    EXPECT_GE(log_.log_start_offset(), least_start_);
    for (size_t n = 1; n < found_.size() && !life_.config().compact; ++n) {
      EXPECT_EQ(view(found_[n]).base_offset(), view(found_[n - 1]).next_offset()) << "a gap";
    }
    if (!found_.empty() && !life_.config().compact) {
      EXPECT_EQ(view(found_.back()).next_offset(), log_.log_end_offset());
      EXPECT_LE(view(found_.front()).base_offset(), log_.log_start_offset());
    }
  }

  /// The least offset that a truncation since the last flush may have left.
  [[nodiscard]] int64_t end_if_cut() const {
    int64_t end = INT64_MAX;
    for (const SentBatch& batch : life_.sent) {
      if (batch.cut_from >= durable_.time && batch.cut_from < time_) {
        end = std::min(end, batch.view().base_offset());
      }
    }
    return end;
  }

  /// What may be in the log: it was written, and no flush has followed a truncation of it.
  [[nodiscard]] bool may_be_there(const SentBatch& batch) const {
    return batch.begun < time_ && batch.cut_from >= durable_.time;
  }

  void check_each_is_from_life() {
    const bool compact = life_.config().compact;
    for (const auto& bytes : found_) {
      const record::BatchView batch = view(bytes);
      const auto records = records_of(batch);
      const bool known =
          std::any_of(life_.sent.begin(), life_.sent.end(), [&](const SentBatch& sent) {
            if (!may_be_there(sent) || sent.view().base_offset() > batch.base_offset() ||
                sent.view().last_offset() < batch.last_offset()) {
              return false;
            }
            return compact ? std::includes(sent.records.begin(), sent.records.end(),
                                           records.begin(), records.end(), before)
                           : sent.bytes == bytes;
          });
      EXPECT_TRUE(known) << "nobody wrote what is at " << batch.base_offset() << whence(bytes);
    }
  }
  /// For the message: of a batch that should not be there.
  [[nodiscard]] std::string whence(const std::vector<uint8_t>& bytes) const {
    for (const SentBatch& sent : life_.sent) {
      if (sent.bytes != bytes) continue;
      return ": it was written at " + std::to_string(sent.begun) + ", cut at " +
             std::to_string(sent.cut_from) + "; the last flush was at " +
             std::to_string(durable_.time) + ", up to " + std::to_string(durable_.offset);
    }
    return "";
  }
  static bool before(const SentRecord& a, const SentRecord& b) {
    return std::tie(a.offset, a.timestamp, a.key, a.value) <
           std::tie(b.offset, b.timestamp, b.key, b.value);
  }

  [[nodiscard]] bool must_be_there(const SentBatch& batch) const {
    return batch.begun < durable_.time && batch.cut_from >= time_ &&
           batch.view().last_offset() < durable_.offset &&
           batch.view().last_offset() >= most_start_;
  }

  void check_batches_are_kept() {
    for (const SentBatch& sent : life_.sent) {
      if (!must_be_there(sent)) continue;
      EXPECT_TRUE(std::any_of(found_.begin(), found_.end(),
                              [&](const auto& bytes) { return bytes == sent.bytes; }))
          << "lost what is durable at " << sent.view().base_offset();
    }
  }

  /// The last value of each key that is durable, unless a later one is there or an abort took it.
  void check_values_are_kept() {
    std::map<std::string, int64_t> last;  // found
    for (const auto& bytes : found_) {
      for (const SentRecord& record : records_of(view(bytes))) last[record.key] = record.offset;
    }
    std::map<std::string, SentRecord> needed;
    std::map<int64_t, std::vector<const SentBatch*>> open;
    const auto take = [&](const SentBatch& batch) {
      for (const SentRecord& record : batch.records) {
        if (!needed.contains(record.key) || needed[record.key].offset < record.offset) {
          needed[record.key] = record;
        }
      }
    };
    for (const SentBatch& sent : life_.sent) {
      if (!must_be_there(sent)) continue;
      if (!sent.view().is_transactional()) {
        take(sent);
      } else if (!sent.commit) {
        open[sent.view().producer_id()].push_back(&sent);
      } else {
        for (const SentBatch* batch : open[sent.view().producer_id()]) {
          if (*sent.commit) take(*batch);
        }
        open[sent.view().producer_id()].clear();
      }
    }
    for (const auto& [key, record] : needed) {
      if (!record.value) continue;  // a tombstone may be gone
      EXPECT_TRUE(last.contains(key)) << "lost the last value of " << key;
      EXPECT_GE(last[key], record.offset) << "an old value of " << key;
    }
  }

  /// What the log is made of, with what was removed at its start. False when that cannot be known.
  bool replay() {
    if (life_.config().compact) {
      // Beyond what is durable a segment may be missing, as if compacted.
      int64_t expected = durable_.offset;
      for (const auto& bytes : found_) {
        if (view(bytes).last_offset() < durable_.offset) continue;
        if (view(bytes).base_offset() > expected) return false;
        expected = view(bytes).next_offset();
      }
      if (expected < log_.log_end_offset()) return false;
    }
    const int64_t begin = life_.config().compact ? durable_.offset : log_.log_start_offset();
    for (const SentBatch& sent : life_.sent) {
      if (sent.cut_from == SIZE_MAX && sent.view().last_offset() < begin && sent.begun < time_) {
        replay_.push_back(&sent.bytes);
      }
    }
    for (const auto& bytes : found_) {
      if (view(bytes).last_offset() >= begin) replay_.push_back(&bytes);
    }
    return true;
  }

  void check_producers() {
    std::map<int64_t, int32_t> last;
    for (const auto* bytes : replay_) {
      const record::BatchView batch = view(*bytes);
      if (!batch.has_producer_id() || batch.is_control()) continue;
      last[batch.producer_id()] = batch.last_sequence();
    }
    std::map<int64_t, int32_t> known;
    for (const ProducerInfo& producer : log_.producers()) {
      known[producer.producer_id] = producer.last_sequence;
    }
    for (const auto& bytes : found_) {
      const record::BatchView batch = view(bytes);
      if (!batch.has_producer_id() || batch.is_control()) continue;
      EXPECT_EQ(known[batch.producer_id()], last[batch.producer_id()])
          << "the last sequence of producer " << batch.producer_id();
    }
  }

  struct Ended {
    int64_t producer_id, first_offset, last_offset;
    bool aborted;
  };

  void check_transactions() {
    std::map<int64_t, int64_t> open;  // producer -> first offset
    std::vector<Ended> ended;
    for (const auto* bytes : replay_) {
      const record::BatchView batch = view(*bytes);
      if (!batch.is_transactional()) continue;
      if (!batch.is_control()) {
        open.emplace(batch.producer_id(), batch.base_offset());
        continue;
      }
      const auto first = open.find(batch.producer_id());
      if (first == open.end()) continue;  // it begins before what is known
      const bool aborted = !record::parse_end_marker(batch, ByteView(*bytes))->commit;
      ended.push_back({first->first, first->second, batch.base_offset(), aborted});
      open.erase(first);
    }
    int64_t unstable = INT64_MAX;
    for (const auto& [producer, first] : open) unstable = std::min(unstable, first);
    if (unstable == INT64_MAX || unstable >= log_.log_start_offset()) {
      EXPECT_EQ(log_.first_unstable_offset(), unstable);
    }
    for (size_t n = 0; n < found_.size(); ++n) {
      const record::BatchView batch = view(found_[n]);
      if (!batch.is_transactional() || batch.is_control() || batch.record_count() == 0) continue;
      const auto of = std::find_if(ended.begin(), ended.end(), [&batch](const Ended& one) {
        return one.producer_id == batch.producer_id() && one.first_offset <= batch.base_offset() &&
               one.last_offset > batch.base_offset();
      });
      const bool listed = std::any_of(
          aborted_[n].begin(), aborted_[n].end(), [&batch](const AbortedTransaction& one) {
            return one.producer_id == batch.producer_id() &&
                   one.first_offset <= batch.base_offset() && one.last_offset > batch.base_offset();
          });
      EXPECT_EQ(listed, of != ended.end() && of->aborted)
          << "the batch at " << batch.base_offset() << " of producer " << batch.producer_id();
    }
  }

  void check_epochs() {
    int32_t newest = -1;
    for (const auto& bytes : found_) {
      const record::BatchView batch = view(bytes);
      if (batch.leader_epoch() < newest) return;  // what a truncation was to take is there, too
      newest = batch.leader_epoch();
    }
    for (const auto& bytes : found_) {
      const record::BatchView batch = view(bytes);
      // Epochs may be forgotten before what they are of, when the log start moves.
      if (batch.last_offset() < most_start_) continue;
      EXPECT_EQ(log_.epoch_for_offset(batch.last_offset()), batch.leader_epoch())
          << "at " << batch.last_offset();
    }
  }

  void check_look_ups(std::mt19937& random) {
    std::vector<SentRecord> records;
    for (const auto& bytes : found_) {
      for (SentRecord& record : records_of(view(bytes))) {
        if (record.offset >= log_.log_start_offset()) records.push_back(std::move(record));
      }
    }
    for (int i = 0; i < 6 && !records.empty(); ++i) {
      const int64_t asked = records[random() % records.size()].timestamp - (i % 2);
      const auto first =
          std::find_if(records.begin(), records.end(),
                       [asked](const SentRecord& one) { return one.timestamp >= asked; });
      const auto found = log_.offset_for_timestamp(asked);
      ASSERT_TRUE(found.ok()) << found.error().message;
      EXPECT_EQ(found->offset, first->offset) << "for timestamp " << asked;
    }
    for (int i = 0; i < 8 && !records.empty(); ++i) {
      const int64_t asked = records[random() % records.size()].offset;
      const auto slice = log_.read(asked, 1, INT64_MAX, true);
      ASSERT_TRUE(slice.ok()) << slice.error().message;
      EXPECT_LE(slice->first_batch_offset, asked);
    }
  }

  const LogLife& life_;
  const size_t time_;
  Log& log_;
  OffsetSince durable_;
  int64_t most_start_ = 0;
  int64_t least_start_ = 0;
  std::vector<std::vector<uint8_t>> found_;
  std::vector<std::vector<AbortedTransaction>> aborted_;  // as a fetch of each would be told
  std::vector<const std::vector<uint8_t>*> replay_;
};

class PowerLossTest : public ::testing::TestWithParam<int> {
 protected:
  /// A moment of the life: half of them right before or after something that is not mere data.
  static size_t moment(const LogLife& life, std::mt19937& random) {
    const auto& calls = life.calls();
    size_t time = life.ready + random() % (calls.size() - life.ready + 1);
    if (random() % 2 == 0) return time;
    while (time < calls.size() && calls[time].kind == DiskCallKind::kWrite) ++time;
    return std::min(time + random() % 2, calls.size());
  }

  /// It goes on, and after a clean stop it is as it was.
  static void check_it_goes_on(OpenLog& open, const std::string& root, const LogConfig& config,
                               Clock& clock) {
    std::vector<uint8_t> bytes = make_batch({.producer_id = 99, .base_sequence = 0});
    AppendBatch batch;
    batch.bytes = bytes;
    ASSERT_TRUE(open.log->append(batch, 1000).ok());
    const int64_t end = open.log->log_end_offset();
    const int64_t start = open.log->log_start_offset();
    const Status stopped = open.stop();
    ASSERT_TRUE(stopped.ok()) << stopped.error().message;
    open.drop();
    auto again = OpenLog::open(root, config, clock);
    ASSERT_TRUE(again.ok()) << again.error().message;
    EXPECT_EQ(again->log->log_end_offset(), end);
    EXPECT_EQ(again->log->log_start_offset(), start);
    EXPECT_FALSE(again->log->recovery_report().checked);
  }
};

TEST_P(PowerLossTest, WhatWasDurableIsThereAndNothingElseThanWhatWasWritten) {
  const uint32_t seed = base_seed() + static_cast<uint32_t>(GetParam());
  SCOPED_TRACE("BARNABAS_SEED=" + std::to_string(seed));
  TemporaryDirectory scratch(fast_directory());
  const std::string disk = scratch.path() + "/disk";
  const std::string image = scratch.path() + "/image";
  fs::create_directory(disk);
  std::mt19937 random(seed);
  auto life = std::make_unique<LogLife>(disk, seed);
  life->live(kSteps);
  set_file_system(nullptr);
  ASSERT_FALSE(HasFailure());
  for (int cut = 0; cut < kCutsPerLife; ++cut) {
    const size_t time = moment(*life, random);
    SCOPED_TRACE("cut " + std::to_string(cut) + ", after call " + std::to_string(time));
    write_image(after_power_cut(std::span(life->calls()).first(time), random), image);
    auto open = OpenLog::open(image, life->config(), life->clock);
    ASSERT_TRUE(open.ok()) << open.error().message;
    Survivor survivor(*life, time, *open);
    survivor.check(random);
    if (HasFailure()) return;
    if (cut % 5 == 0) check_it_goes_on(*open, image, life->config(), life->clock);
  }
  RecordProperty("images", kCutsPerLife);
}

TEST(PowerLoss, ALogWhoseOldSegmentsGoDoesNotBeginAnew) {
  TemporaryDirectory scratch(fast_directory());
  const std::string disk = scratch.path() + "/disk";
  const std::string image = scratch.path() + "/image";
  fs::create_directory(disk);
  ManualClock clock;
  const LogConfig config;
  RecordingFileSystem recorder(disk);
  auto open = OpenLog::open(disk, config, clock);
  ASSERT_TRUE(open.ok()) << open.error().message;
  std::vector<uint8_t> bytes = make_batch({});
  AppendBatch batch;
  batch.bytes = bytes;
  ASSERT_TRUE(open->log->append(batch, 0).ok());
  const auto durable = open->log->flush();
  ASSERT_TRUE(durable.ok() && *durable > 0);
  const size_t begin = recorder.calls().size();
  ASSERT_TRUE(open->log->roll().ok());
  ASSERT_TRUE(open->log->advance_log_start_offset(*durable).ok());
  open->drop();
  const std::vector<DiskCall> calls = recorder.calls();
  set_file_system(nullptr);
  std::mt19937 random(1);
  for (size_t time = begin; time <= calls.size(); ++time) {
    for (int i = 0; i < 20; ++i) {
      write_image(after_power_cut(std::span(calls).first(time), random), image);
      auto found = OpenLog::open(image, config, clock);
      ASSERT_TRUE(found.ok()) << found.error().message;
      ASSERT_GE(found->log->log_end_offset(), *durable) << "after call " << time;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Lives, PowerLossTest, ::testing::Range(0, kLives));

}  // namespace
}  // namespace barnabas::storage
