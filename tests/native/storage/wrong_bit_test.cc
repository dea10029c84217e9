// One bit flipped in a file beside a log: what the log tells stays the same.
#include <fstream>
#include <map>
#include <set>
#include <tuple>

#include "log_fixture.h"
#include "record/end_marker.h"
#include "storage/transaction_index.h"

namespace barnabas::storage {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kFirstMs = 1'700'000'000'000;
constexpr int32_t kLastEpoch = 3;

struct View {
  std::vector<std::pair<int64_t, int64_t>> batches;
  /// By where a read begins: the aborted transactions that concern it.
  std::vector<std::set<std::tuple<int64_t, int64_t, int64_t>>> aborted;
  std::vector<int64_t> look_ups;
  int64_t max_timestamp = -1;
  std::vector<std::pair<int32_t, int64_t>> epoch_ends;
  std::vector<int32_t> epochs;
  std::vector<std::tuple<int64_t, int32_t, int64_t>> producers;
  int64_t stable = 0;
  int64_t kept_from = 0;  // by retention

  bool operator==(const View&) const = default;
};

/// `clean`: whether the stop before was.
class WrongBitTest : public LogTest, public ::testing::WithParamInterface<bool> {
 protected:
  WrongBitTest() {
    config.segment_bytes = 3000;
    config.index_interval_bytes = 150;
    config.retention_ms = -1;
  }

  void send(int64_t producer, int records, int64_t timestamp) {
    BatchSpec spec{.records = records,
                   .timestamp = timestamp,
                   .producer_id = producer,
                   .base_sequence = sequences_[producer],
                   .transactional = producer < 9};
    sequences_[producer] += records;
    append(spec, epoch_);
    log->advance_high_watermark(log->log_end_offset());
  }
  void end(int64_t producer, bool commit) {
    auto bytes = *record::encode_end_marker({commit, 0}, producer, 0, kFirstMs);
    AppendBatch batch;
    batch.bytes = bytes;
    batch.producer.origin = AppendOrigin::kCoordinator;
    ASSERT_TRUE(log->append(batch, epoch_).ok());
    log->advance_high_watermark(log->log_end_offset());
  }
  /// Timestamps go forth and back, and some come again, so that one entry's looks like another's.
  void fill() {
    open();
    for (int n = 0; n < 60; ++n) {
      if (n == 25 || n == 45) log->begin_leader_epoch(++epoch_);
      const int64_t timestamp = kFirstMs + 10 * (n / 2) - (n % 5 == 0 ? 40 : 0);
      send(1 + n % 3, 1 + n % 2, timestamp);
      if (n % 4 == 3) end(1 + n % 3, n % 8 == 3);
      send(9, 1, timestamp);
    }
    for (const int64_t producer : {1, 2, 3}) end(producer, false);
    send(1, 1, kFirstMs + 5);  // stays open
    ASSERT_GT(log->segment_count(), 2U);
    ASSERT_TRUE(log->flush().ok());
    recovery_point_ = log->log_end_offset();
    if (GetParam()) {
      ASSERT_TRUE(log->close().ok());
    }
    log.reset();
    fs::copy(directory, original());
  }
  [[nodiscard]] std::string original() const { return root.path() + "/original"; }

  void restore() {
    log.reset();
    fs::remove_all(directory);
    fs::copy(original(), directory);
  }
  void start() {
    open(GetParam(), recovery_point_);
    log->advance_high_watermark(log->log_end_offset());
  }

  View look() {
    View view;
    view.batches = batches_from(log->log_start_offset(), 700);
    for (const auto& [base, last] : view.batches) view.aborted.push_back(aborted_from(base));
    for (int64_t ms = kFirstMs - 50; ms < kFirstMs + 320; ms += 5) {
      view.look_ups.push_back(log->offset_for_timestamp(ms)->offset);
    }
    view.max_timestamp = log->max_timestamp_offset()->timestamp;
    for (int32_t epoch = 0; epoch <= kLastEpoch; ++epoch) {
      const auto found = log->end_offset_for_epoch(epoch);
      view.epoch_ends.emplace_back(found.leader_epoch, found.end_offset);
    }
    for (int64_t at = 0; at < log->log_end_offset(); ++at) {
      view.epochs.push_back(log->epoch_for_offset(at));
    }
    for (const ProducerInfo& one : log->producers()) {
      view.producers.emplace_back(one.producer_id, one.last_sequence, one.current_txn_start_offset);
    }
    view.stable = log->first_unstable_offset();
    view.kept_from = kept_from();
    return view;
  }
  std::set<std::tuple<int64_t, int64_t, int64_t>> aborted_from(int64_t offset) {
    std::set<std::tuple<int64_t, int64_t, int64_t>> found;
    const auto slice = log->read_committed(offset, 700, log->log_end_offset(), true);
    EXPECT_TRUE(slice.ok()) << slice.error().message;
    int64_t last = -1;
    const std::vector<uint8_t> bytes = bytes_of(*slice);
    for (ByteView rest(bytes); const auto batch = record::peek_batch(rest);) {
      last = batch->last_offset();
      rest = rest.subspan(batch->size_bytes());
    }
    // What begins behind the range may be told, too.
    for (const AbortedTransaction& one : slice->aborted) {
      if (one.first_offset <= last && one.last_offset >= offset) {
        found.emplace(one.producer_id, one.first_offset, one.last_offset);
      }
    }
    return found;
  }
  /// Where the log begins once all that is older than a moment in its middle is gone.
  int64_t kept_from() {
    LogConfig short_lived = config;
    short_lived.retention_ms = clock.wall_ms() - (kFirstMs + 200);
    log->set_config(short_lived);
    log->maintain(log->log_end_offset());
    return log->log_start_offset();
  }

  void flip_each_bit(const std::string& file_suffix, size_t stride) {
    clock.advance_ms(100'000);
    fill();
    restore();
    start();
    const View expected = look();
    ASSERT_GT(expected.kept_from, 0);
    ASSERT_LT(expected.kept_from, recovery_point_);
    log.reset();
    restore();
    const std::vector<std::string> names = names_with(file_suffix);
    ASSERT_FALSE(names.empty());
    size_t flipped = 0;
    for (const std::string& name : names) {
      const size_t bits = 8 * fs::file_size(original() + "/" + name);
      for (size_t bit = flipped % stride; bit < bits; bit += stride) {
        restore();
        flip(file(name), bit);
        start();
        const View seen = look();
        ASSERT_TRUE(seen == expected)
            << name << ", bit " << bit << ": " << difference(seen, expected);
        ++flipped;
      }
    }
    EXPECT_GT(flipped, 40U);
  }
  static void flip(const std::string& path, size_t bit) {
    std::fstream io(path, std::ios::in | std::ios::out | std::ios::binary);
    io.seekg(static_cast<std::streamoff>(bit / 8));
    const int byte = io.get();
    io.seekp(static_cast<std::streamoff>(bit / 8));
    io.put(static_cast<char>(byte ^ (1 << bit % 8)));
  }
  static std::string difference(const View& a, const View& b) {
    std::string what;
    if (a.batches != b.batches) what += "batches ";
    if (a.aborted != b.aborted) what += "aborted ";
    if (a.look_ups != b.look_ups) what += "look-ups ";
    if (a.max_timestamp != b.max_timestamp) what += "maximum ";
    if (a.epoch_ends != b.epoch_ends || a.epochs != b.epochs) what += "epochs ";
    if (a.producers != b.producers || a.stable != b.stable) what += "producers ";
    if (a.kept_from != b.kept_from) what += "retention ";
    return what;
  }

  std::map<int64_t, int32_t> sequences_;
  int32_t epoch_ = 0;
  int64_t recovery_point_ = 0;
};

TEST_P(WrongBitTest, InAnOffsetIndex) { flip_each_bit(".index", 13); }
TEST_P(WrongBitTest, InATimeIndex) { flip_each_bit(".timeindex", 13); }
TEST_P(WrongBitTest, InATransactionIndex) { flip_each_bit(".txnindex", 19); }
TEST_P(WrongBitTest, InTheChecksumOfATransactionIndex) { flip_each_bit(".txnindex.crc", 3); }
TEST_P(WrongBitTest, InTheLeaderEpochs) { flip_each_bit("leader-epoch-checkpoint", 1); }

INSTANTIATE_TEST_SUITE_P(Stops, WrongBitTest, ::testing::Bool(),
                         [](const auto& stop) { return stop.param ? "Clean" : "Killed"; });

}  // namespace
}  // namespace barnabas::storage
