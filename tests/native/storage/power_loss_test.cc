// Power cuts: what was not fsynced may be there, be torn, be zeroes, or be gone.
#include <fstream>
#include <map>
#include <random>

#include "log_fixture.h"
#include "record/end_marker.h"
#include "storage/producer_state.h"

namespace barnabas::storage {
namespace {

namespace fs = std::filesystem;

using Files = std::map<std::string, std::vector<uint8_t>>;

constexpr size_t kPageBytes = 4096;

class PowerLossTest : public LogTest, public ::testing::WithParamInterface<int> {
 protected:
  [[nodiscard]] Files files() const {
    Files found;
    for (const auto& entry : fs::directory_iterator(directory)) {
      std::ifstream in(entry.path(), std::ios::binary);
      found[entry.path().filename().string()] = {std::istreambuf_iterator<char>(in), {}};
    }
    return found;
  }

  /// One state that the disk may be in, given what was there at the last fsync and what the page
  /// cache held when the power went: of what changed in between, each page or name may have made
  /// it.
  Files after_power_loss(const Files& durable, const Files& cached) {
    Files left;
    for (const auto& [name, now] : cached) {
      const auto before = durable.find(name);
      if (before == durable.end()) {
        if (chance(4)) continue;  // the new name was not written
        if (chance(4)) {
          left[name] = {};
          continue;
        }
      }
      const std::vector<uint8_t> old =
          before == durable.end() ? std::vector<uint8_t>() : before->second;
      left[name] = tear(old, now, name.ends_with(".log"));
    }
    for (const auto& [name, old] : durable) {
      if (!cached.contains(name)) left[name] = old;  // an unlink that was not written
    }
    return left;
  }

  std::vector<uint8_t> tear(const std::vector<uint8_t>& old, const std::vector<uint8_t>& now,
                            bool append_only) {
    if (old == now) return now;
    // A file replaced by rename is one or the other; one that grew keeps what was synced.
    if (!append_only &&
        !std::equal(old.begin(),
                    old.begin() + static_cast<ptrdiff_t>(std::min(old.size(), now.size())),
                    now.begin())) {
      return chance(2) ? old : now;
    }
    std::vector<uint8_t> left = now;
    if (chance(2)) left.resize(old.size() + random() % (now.size() - old.size() + 1));
    for (size_t page = old.size(); page < left.size(); page += kPageBytes) {
      if (!chance(5)) continue;
      std::fill(left.begin() + static_cast<ptrdiff_t>(page),
                left.begin() + static_cast<ptrdiff_t>(std::min(page + kPageBytes, left.size())), 0);
    }
    return left;
  }

  void put(const Files& state) {
    for (const auto& entry : fs::directory_iterator(directory)) fs::remove_all(entry.path());
    for (const auto& [name, bytes] : state) {
      std::ofstream(file(name), std::ios::binary)
          .write(reinterpret_cast<const char*>(bytes.data()),
                 static_cast<std::streamsize>(bytes.size()));
    }
  }

  bool chance(uint32_t one_in) { return random() % one_in == 0; }

  std::mt19937 random{static_cast<uint32_t>(GetParam())};
};

TEST_P(PowerLossTest, WhatWasFlushedIsKeptAndTheRestIsAPrefix) {
  config.segment_bytes = 12'000;
  config.index_interval_bytes = 500;
  constexpr int64_t kProducer = 5;
  std::vector<std::pair<int64_t, int64_t>> sent;  // all batches of this life of the log
  int32_t sequence = 0;
  open();
  const auto send_some = [&](int batches) {
    for (int i = 0; i < batches; ++i) {
      const int records = 1 + static_cast<int>(random() % 3);
      const AppendInfo info = append({.records = records,
                                      .value_bytes = 20 + random() % 700,
                                      .producer_id = kProducer,
                                      .base_sequence = sequence},
                                     static_cast<int32_t>(sent.size() / 20));
      sequence += records;
      sent.emplace_back(info.base_offset, info.last_offset);
    }
  };
  for (int round = 0; round < 6; ++round) {
    send_some(static_cast<int>(random() % 40));
    ASSERT_TRUE(log->flush().ok());
    const int64_t flushed = log->recovery_point();
    const Files durable = files();
    send_some(static_cast<int>(random() % 40));
    const Files cached = files();
    log.reset();
    put(after_power_loss(durable, cached));

    open(false, flushed);
    ASSERT_GE(log->log_end_offset(), flushed);
    const auto found = batches_from(0);
    ASSERT_LE(found.size(), sent.size());
    sent.resize(found.size());
    ASSERT_EQ(found, sent);  // a prefix, without a hole
    // The producer goes on where the log ends, and its last batch is known.
    sequence = static_cast<int32_t>(log->log_end_offset());
    if (!sent.empty()) {
      const auto [base, last] = sent.back();
      const auto retried = try_append({.records = static_cast<int>(last - base) + 1,
                                       .producer_id = kProducer,
                                       .base_sequence = static_cast<int32_t>(base)});
      ASSERT_TRUE(retried.ok()) << retried.error().message;
      ASSERT_TRUE(retried->duplicate);
      ASSERT_EQ(log->epoch_for_offset(base), static_cast<int32_t>((sent.size() - 1) / 20));
    }
  }
}

TEST_P(PowerLossTest, TransactionIndexesSayWhatIsInTheLog) {
  config.segment_bytes = 4000;
  open();
  const auto send = [&](int64_t producer) {
    std::vector<uint8_t> bytes =
        chance(2)
            ? make_batch({.producer_id = producer, .base_sequence = -1, .transactional = true})
            : *record::encode_end_marker({chance(3), 0}, producer, 0, 1);
    AppendBatch batch;
    batch.bytes = bytes;
    batch.producer.origin = AppendOrigin::kCoordinator;
    ASSERT_TRUE(log->append(batch, 0).ok());
  };
  for (int round = 0; round < 6; ++round) {
    for (uint32_t i = random() % 100; i > 0; --i) send(random() % 4);
    ASSERT_TRUE(log->flush().ok());
    const int64_t flushed = log->recovery_point();
    const Files durable = files();
    for (uint32_t i = random() % 100; i > 0; --i) send(random() % 4);
    const Files cached = files();
    log.reset();
    put(after_power_loss(durable, cached));
    open(false, flushed);

    ProducerState state;
    std::vector<AbortedTransaction> in_log;
    for (const auto& [base, last] : batches_from(0)) {
      const auto bytes = bytes_of(*log->read(base, 1, last + 1, true));
      const auto ended = state.apply(record::BatchView(bytes), bytes, 0);
      if (ended && ended->aborted) in_log.push_back(state.aborted(*ended));
    }
    std::vector<AbortedTransaction> in_files;
    for (const std::string& name : names_with(".txnindex")) {
      const auto entries = read_transaction_index(file(name), 0, INT64_MAX);
      ASSERT_TRUE(entries.ok() && *entries) << name;
      in_files.insert(in_files.end(), (*entries)->begin(), (*entries)->end());
    }
    ASSERT_EQ(in_files, in_log);
    ASSERT_EQ(log->first_unstable_offset(), state.first_unstable_offset());
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, PowerLossTest, ::testing::Range(0, 24));

}  // namespace
}  // namespace barnabas::storage
