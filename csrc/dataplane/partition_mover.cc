#include "dataplane/partition_mover.h"

#include <algorithm>
#include <utility>

#include "base/logger.h"
#include "storage/set_aside.h"

namespace barnabas::dataplane {
namespace {

constexpr int64_t kLargestChunkBytes = 1 << 20;
constexpr int64_t kSmallestChunkBytes = 16 << 10;
constexpr int64_t kChunksPerSecond = 4;  // at least, when they are smaller than the largest
// A log that is written to meanwhile is never quite copied: what is left then is copied while its
// appends wait.
constexpr uint64_t kLittleBytes = 64 << 10;
constexpr int kMostRounds = 1000;
// What the last flush, for which appends wait, has to write is little as well, unless a flush takes
// so long that more comes meanwhile every time.
constexpr uint64_t kQuicklyFlushedBytes = 4 << 20;
constexpr int kMostFlushes = 3;

size_t movers_wanted(const EngineConfig& config, const LogDirectories& directories) {
  if (directories.count() == 1) return 0;
  return config.move_threads > 0 ? static_cast<size_t>(config.move_threads) : directories.count();
}

/// Whether a copy that has just got `bytes` lacks little more than what is being appended.
bool lacks_little(const storage::Log& log, const storage::Log& copy, uint64_t bytes,
                  uint64_t limit) {
  return bytes < limit && copy.log_end_offset() >= log.active_segment_base_offset();
}

uint64_t chunk_bytes(int64_t bytes_per_second) {
  return static_cast<uint64_t>(
      std::clamp(bytes_per_second / kChunksPerSecond, kSmallestChunkBytes, kLargestChunkBytes));
}

storage::TopicPartition name_of(const Partition& partition) {
  return {partition.topic().name, partition.index()};
}

}  // namespace

PartitionMover::PartitionMover(const PartitionTable& table, LogDirectories& directories,
                               Clock& clock, const EngineConfig& config)
    : table_(table),
      directories_(directories),
      threads_wanted_(movers_wanted(config, directories)),
      rate_(static_cast<double>(config.move_max_bytes_per_second), clock),
      chunk_bytes_(chunk_bytes(config.move_max_bytes_per_second)) {}

PartitionMover::~PartitionMover() { stop(); }

void PartitionMover::start() {
  threads_.start("bnb-mover", threads_wanted_, [this](size_t) { run(); });
}

void PartitionMover::stop() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  rate_.stop();
  threads_.join();
  MutexLock lock(mutex_);
  for (const MovePtr& move : moves_) {
    if (move->copy == nullptr) continue;
    if (const Status closed = move->copy->close(); !closed.ok()) {
      // The next start finds out, whatever the directory says of its last stop.
      log(LogLevel::kWarning, "mover", closed.error().message);
    }
  }
  moves_.clear();
}

void PartitionMover::run() {
  while (await_work()) {
    // With no move in hand, so that nobody who cancels one has to wait; whatever thread has copied.
    if (!rate_.spend(0)) return;
    const MovePtr move = take();
    if (move == nullptr) continue;
    const auto copied = step(*move);
    if (!copied.ok()) give_up(*move, copied.error());
    put_back(move, !copied.ok() || *copied == 0);
    if (copied.ok() && !rate_.spend(*copied)) return;
  }
}

void PartitionMover::set_max_bytes_per_second(int64_t bytes) {
  chunk_bytes_ = chunk_bytes(bytes);
  rate_.set_limit(static_cast<double>(bytes));
}

bool PartitionMover::await_work() {
  MutexLock lock(mutex_);
  while (!stopping_ && std::all_of(moves_.begin(), moves_.end(),
                                   [](const MovePtr& move) { return move->busy; })) {
    changed_.wait(mutex_);
  }
  return !stopping_;
}

PartitionMover::MovePtr PartitionMover::take() {
  MutexLock lock(mutex_);
  const auto next =
      std::find_if(moves_.begin(), moves_.end(), [](const MovePtr& move) { return !move->busy; });
  if (stopping_ || next == moves_.end()) return nullptr;
  MovePtr move = *next;
  move->busy = true;
  moves_.erase(next);
  moves_.push_back(move);
  return move;
}

void PartitionMover::put_back(const MovePtr& move, bool done) {
  MutexLock lock(mutex_);
  move->busy = false;
  if (done) std::erase(moves_, move);
  changed_.notify_all();
}

void PartitionMover::add(MovePtr move) {
  MutexLock lock(mutex_);
  if (move->partition->deleted()) return;
  moves_.push_back(std::move(move));
  changed_.notify_all();
}

Status PartitionMover::move(const PartitionPtr& partition, size_t directory,
                            const storage::LogConfig& config) {
  {
    MutexLock lock(mutex_);
    const auto under_way =
        std::find_if(moves_.begin(), moves_.end(), [&](const MovePtr& candidate) {
          return candidate->partition == partition && candidate->directory == directory;
        });
    if (under_way != moves_.end()) return {};
  }
  BARNABAS_TRY(cancel(partition));
  if (partition->directory() == directory) return {};
  log(LogLevel::kInfo, "mover",
      partition->to_string() + " moves to " + directories_.path(directory));
  add(std::make_shared<Move>(Move{partition, directory, config, "", nullptr, false}));
  return {};
}

void PartitionMover::resume(const PartitionPtr& partition, const LogDirectories::Future& future,
                            const storage::LogConfig& config) {
  log(LogLevel::kInfo, "mover",
      partition->to_string() + " goes on moving to " + directories_.path(future.directory));
  partition->log()->pause_cleaning(true);
  add(std::make_shared<Move>(
      Move{partition, future.directory, config, future.path, nullptr, false}));
}

Status PartitionMover::cancel(const PartitionPtr& partition) {
  MovePtr found;
  {
    MutexLock lock(mutex_);
    for (;;) {
      const auto at = std::find_if(moves_.begin(), moves_.end(), [&](const MovePtr& move) {
        return move->partition == partition;
      });
      if (at == moves_.end()) return {};
      if (!(*at)->busy) {
        found = *at;
        moves_.erase(at);
        break;
      }
      changed_.wait(mutex_);
    }
  }
  log(LogLevel::kInfo, "mover",
      partition->to_string() + " does not move to " + directories_.path(found->directory));
  Status discarded = discard_copy(*found);
  partition->log()->pause_cleaning(false);
  return discarded;
}

bool PartitionMover::is_moving(const Partition& partition) const {
  MutexLock lock(mutex_);
  return std::any_of(moves_.begin(), moves_.end(),
                     [&](const MovePtr& move) { return move->partition.get() == &partition; });
}

std::vector<MoveState> PartitionMover::moves() const {
  std::vector<MoveState> states;
  MutexLock lock(mutex_);
  for (const MovePtr& move : moves_) {
    MoveState state{move->partition, move->directory, 0, 0};
    if (move->copy != nullptr) {
      state.copy_end_offset = move->copy->log_end_offset();
      state.copy_bytes = move->copy->size_bytes();
    }
    states.push_back(std::move(state));
  }
  return states;
}

void PartitionMover::add_to(LogDirectories::Counts& counts) const {
  MutexLock lock(mutex_);
  for (const MovePtr& move : moves_) ++counts[move->directory];
}

Result<uint64_t> PartitionMover::step(Move& move) {
  storage::Log& log = *move.partition->log();
  if (move.partition->availability() != ErrorCode::kNone) {
    return Error{ErrorCode::kKafkaStorageError, move.partition->to_string() + " is offline", 0};
  }
  if (move.copy == nullptr) {
    log.pause_cleaning(true);
    BARNABAS_ASSIGN(auto copy, open_copy(move));
    move.future_path.clear();
    set_copy(move, std::move(copy));
  }
  const uint64_t chunk = chunk_bytes_;
  const auto copied = copy_batches(log, *move.copy, chunk);
  if (!copied.ok()) {
    const bool lost = copied.error().code == ErrorCode::kOffsetOutOfRange &&
                      log.log_start_offset() > move.copy->log_end_offset();
    if (!lost) return copied;
    // What the copy would have got next is gone from the log: from the log's start, then.
    BARNABAS_TRY(discard_copy(move));
    return uint64_t{1};
  }
  if (lacks_little(log, *move.copy, *copied, chunk / 2)) {
    BARNABAS_ASSIGN(const bool finished, finish(move));
    if (finished) return uint64_t{0};
  }
  return std::max(*copied, uint64_t{1});
}

Result<std::unique_ptr<storage::Log>> PartitionMover::open_copy(const Move& move) {
  storage::Log& log = *move.partition->log();
  PartitionStore& store = directories_.store(move.directory);
  const storage::TopicPartition name = name_of(*move.partition);
  const Uuid& topic_id = move.partition->topic().id;
  if (!move.future_path.empty()) {
    if (!move.config.compact) {
      auto copy =
          store.open_copy(name, move.future_path, topic_id, log.cleaned_offset(), move.config);
      const auto fits = copy.ok() ? storage::may_go_on(log, **copy) : Result<bool>(false);
      if (fits.ok() && *fits) return copy;
    }
    BARNABAS_TRY(store.remove_directory(name, move.future_path));
  }
  // A batch that holds the log's first offset begins before it.
  const int64_t log_start = log.log_start_offset();
  BARNABAS_ASSIGN(const auto first, log.read_to_copy(log_start));
  const int64_t start_offset =
      first.first_batch_offset < 0 ? log_start : std::min(first.first_batch_offset, log_start);
  // Or what its checkpoint says of a namesake that lay there made a part of the copy look whole.
  BARNABAS_TRY(store.forget(name.topic, {name.partition}, table_));
  return store.create_copy(name, topic_id, start_offset, move.config);
}

Result<bool> PartitionMover::come_close(Move& move) {
  storage::Log& log = *move.partition->log();
  for (int flush = 0; flush < kMostFlushes; ++flush) {
    if (const auto flushed = move.copy->flush(); !flushed.ok()) return flushed.error();
    uint64_t since_flush = 0;
    for (int round = 0;; ++round) {
      BARNABAS_ASSIGN(const uint64_t more, copy_batches(log, *move.copy, kLargestChunkBytes));
      since_flush += more;
      if (lacks_little(log, *move.copy, more, kLittleBytes)) break;
      if (round == kMostRounds) return false;
    }
    if (since_flush < kQuicklyFlushedBytes) break;
  }
  return true;
}

Result<bool> PartitionMover::finish(Move& move) {
  const PartitionPtr& partition = move.partition;
  storage::Log& log = *partition->log();
  BARNABAS_ASSIGN(const bool close, come_close(move));
  if (!close) return false;
  PartitionStore& target = directories_.store(move.directory);
  const size_t source = partition->directory();
  BARNABAS_TRY(storage::copy_what_is_aside(log.directory(), move.copy->directory()));
  auto moved = log.move_to(*move.copy, [&] { return target.expect(*partition, table_); });
  if (moved.ok()) partition->set_directory(move.directory);
  target.end_expecting(*partition);
  if (!moved.ok()) {
    // Or the next start would take what there is of a copy for whole.
    write_checkpoints(move.directory);
    return std::move(moved).error();
  }
  set_copy(move, nullptr);
  log.pause_cleaning(false);
  directories_.store(source).remove_later(*moved, move.config.file_delete_delay_ms);
  barnabas::log(LogLevel::kInfo, "mover",
                partition->to_string() + " has moved to " + target.path());
  write_checkpoints(source);
  write_checkpoints(move.directory);
  return true;
}

void PartitionMover::write_checkpoints(size_t directory) {
  if (!directories_.online(directory)) return;
  const Status written = directories_.store(directory).write_checkpoints(table_);
  if (!written.ok()) log(LogLevel::kError, "mover", written.error().message);
}

void PartitionMover::give_up(Move& move, const Error& why) {
  const PartitionPtr& partition = move.partition;
  barnabas::log(LogLevel::kError, "mover",
                partition->to_string() + " does not move to " + directories_.path(move.directory) +
                    ": " + why.message);
  // One whose log cannot be read any more may be all there will be of it.
  if (partition->offline()) {
    set_copy(move, nullptr);
    return;
  }
  if (const Status discarded = discard_copy(move); !discarded.ok()) {
    barnabas::log(LogLevel::kError, "mover", discarded.error().message);
  }
  partition->log()->pause_cleaning(false);
}

Status PartitionMover::discard_copy(Move& move) {
  PartitionStore& store = directories_.store(move.directory);
  if (move.copy == nullptr) {
    if (move.future_path.empty()) return {};
    return store.remove_directory(name_of(*move.partition), std::exchange(move.future_path, ""));
  }
  const Status renamed = move.copy->mark_deleted();
  if (renamed.ok()) store.remove_later(move.copy->directory(), 0);
  set_copy(move, nullptr);
  return renamed;
}

void PartitionMover::set_copy(Move& move, std::unique_ptr<storage::Log> copy) {
  std::unique_ptr<storage::Log> before;  // closed without the lock
  MutexLock lock(mutex_);
  before = std::exchange(move.copy, std::move(copy));
}

}  // namespace barnabas::dataplane
