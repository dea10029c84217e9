// A log of a data directory lives through all that a log goes through, at random, and what it was
// given and has promised is written down: the history that power cuts are judged by.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "log_fixture.h"
#include "recording_file_system.h"
#include "storage/log_dir.h"

namespace barnabas::storage {

struct SentRecord {
  int64_t offset = 0;
  int64_t timestamp = 0;
  std::string key;
  std::optional<std::string> value;
  friend bool operator==(const SentRecord&, const SentRecord&) = default;
};

/// A batch in the log. Times are counted in calls of the disk.
struct SentBatch {
  std::vector<uint8_t> bytes;
  std::vector<SentRecord> records;  // none of a marker
  std::optional<bool> commit;       // of a marker
  size_t begun = 0;
  size_t cut_from = SIZE_MAX;  // when a truncation that takes it away began

  [[nodiscard]] record::BatchView view() const { return record::BatchView{ByteView(bytes)}; }
};

/// An offset that holds from a time on.
struct OffsetSince {
  size_t time = 0;
  int64_t offset = 0;
};

/// A log that is open in a data directory, as the broker opens it.
struct OpenLog {
  std::unique_ptr<LogDir> directory;
  std::unique_ptr<FdCache> fds;
  std::unique_ptr<Log> log;

  static Result<OpenLog> open(const std::string& root, const LogConfig& config, Clock& clock);
  Status write_checkpoints();
  /// A clean stop.
  Status stop();
  /// Without one, as SIGKILL: nothing is written.
  void drop();
};

/// Some batches' records.
std::vector<SentRecord> records_of(const record::BatchView& batch);

class LogLife {
 public:
  LogLife(const std::string& root, uint32_t seed);

  void live(int steps);

  [[nodiscard]] const std::vector<DiskCall>& calls() const { return disk_.calls(); }
  [[nodiscard]] const LogConfig& config() const { return config_; }

  // -- the history
  std::vector<SentBatch> sent;             // in the order they were appended
  std::vector<OffsetSince> durable;        // a flush has said so
  std::vector<OffsetSince> starts;         // log start offsets that were asked for
  std::vector<OffsetSince> durable_start;  // those that a checkpoint holds
  size_t ready = 0;                        // when the log was there for the first time
  ManualClock clock;

 private:
  struct Producer {
    int32_t next_sequence = 0;
    bool in_transaction = false;
  };

  void open();
  void step();
  /// That it knows which transactions are open.
  void check();
  void append_some();
  void append(std::vector<uint8_t> bytes, bool marker);
  void append_data(int64_t producer_id);
  void append_marker(int64_t producer_id);
  void flush();
  void truncate();
  void advance_start();
  void checkpoint();
  void maintain();
  void clean();
  void stop();
  void note_start();
  /// What the log's producers have come to, from the batches that are left.
  void recount_producers();
  uint32_t below(uint32_t bound) { return random_() % bound; }
  [[nodiscard]] size_t now() const { return disk_.calls().size(); }

  const std::string root_;
  std::mt19937 random_;
  LogConfig config_;
  RecordingFileSystem disk_;
  OpenLog open_;
  std::map<int64_t, Producer> producers_;
  int32_t epoch_ = 0;
  int64_t records_ = 0;
};

}  // namespace barnabas::storage
