#include "log_life.h"

#include "record/codec.h"
#include "record/end_marker.h"
#include "storage/cleaner.h"

namespace barnabas::storage {
namespace {

const TopicPartition kName{"topic", 0};
constexpr int64_t kPlain = record::kNoProducerId;
constexpr int64_t kProducers[] = {kPlain, 5, 6, 7, 8};
constexpr int64_t kFirstTransactional = 7;
constexpr int kKeys = 12;

int64_t checkpointed(const Result<OffsetCheckpoint>& offsets) {
  EXPECT_TRUE(offsets.ok()) << offsets.error().message;
  if (!offsets.ok()) return 0;
  const auto found = offsets->find(kName);
  return found == offsets->end() ? 0 : found->second;
}

}  // namespace

Result<OpenLog> OpenLog::open(const std::string& root, const LogConfig& config, Clock& clock) {
  OpenLog opened;
  LogDirIdentity identity;
  identity.cluster_id = "cluster";
  BARNABAS_ASSIGN(opened.directory, LogDir::open(root, identity));
  LogOpenOptions options;
  options.clean_shutdown = opened.directory->was_clean();
  BARNABAS_TRY(opened.directory->mark_in_use());
  options.recovery_point = checkpointed(opened.directory->recovery_points());
  options.log_start_offset = checkpointed(opened.directory->log_start_offsets());
  options.cleaned_offset = checkpointed(opened.directory->cleaned_offsets());
  options.topic_id = Uuid{};
  opened.fds = std::make_unique<FdCache>(16);
  BARNABAS_ASSIGN(opened.log, Log::open(root + "/" + kName.to_string(), kName, config, options,
                                        *opened.fds, clock));
  return opened;
}

Status OpenLog::write_checkpoints() {
  BARNABAS_TRY(directory->write_log_start_offsets({{kName, log->log_start_offset()}}));
  BARNABAS_TRY(directory->write_recovery_points({{kName, log->recovery_point()}}));
  return directory->write_cleaned_offsets({{kName, log->cleaned_offset()}});
}

Status OpenLog::stop() {
  BARNABAS_TRY(log->close());
  BARNABAS_TRY(write_checkpoints());
  return directory->mark_clean();
}

void OpenLog::drop() {
  log.reset();
  fds.reset();
  directory.reset();
}

std::vector<SentRecord> records_of(const record::BatchView& batch) {
  std::vector<SentRecord> found;
  if (batch.is_control()) return found;
  record::RecordReader reader(batch.records(), batch.record_count());
  while (const auto record = reader.next().value()) {
    std::optional<std::string> value;
    if (record->value) value.emplace(as_text(*record->value));
    found.push_back({batch.base_offset() + record->offset_delta,
                     batch.base_timestamp() + record->timestamp_delta,
                     std::string(as_text(*record->key)), std::move(value)});
  }
  return found;
}

LogLife::LogLife(const std::string& root, uint32_t seed) : root_(root), random_(seed), disk_(root) {
  config_.segment_bytes = 2500;
  config_.index_interval_bytes = 300;
  config_.file_delete_delay_ms = 2000;
  config_.retention_ms = -1;
  config_.compact = seed % 3 == 0;
  config_.delete_old = !config_.compact;
  config_.min_cleanable_dirty_ratio = 0;
  config_.delete_retention_ms = 5000;
  if (seed % 3 == 1) config_.retention_bytes = 9000;
  open();
  ready = now();
}

void LogLife::open() {
  open_.drop();
  auto opened = OpenLog::open(root_, config_, clock);
  ASSERT_TRUE(opened.ok()) << opened.error().message;
  open_ = std::move(opened).value();
}

void LogLife::live(int steps) {
  for (int i = 0; i < steps && !::testing::Test::HasFatalFailure(); ++i) {
    step();
    check();
    clock.advance_ms(700);
  }
  open_.drop();
}

void LogLife::step() {
  const uint32_t what = below(100);
  if (what < 45) return append_some();
  if (what < 60) return flush();
  if (what < 70) return checkpoint();
  if (what < 75) return (void)open_.log->roll();
  if (what < 79) return truncate();
  if (what < 83) return advance_start();
  if (what < 94) return config_.compact ? clean() : maintain();
  if (what < 97) return stop();
  open();  // killed: what was written is there, and nothing else happens
  maintain();
}

void LogLife::check() {
  std::map<int64_t, int64_t> first;
  for (const SentBatch& batch : sent) {
    if (batch.cut_from != SIZE_MAX || !batch.view().is_transactional()) continue;
    if (batch.commit) {
      first.erase(batch.view().producer_id());
    } else {
      first.emplace(batch.view().producer_id(), batch.view().base_offset());
    }
  }
  int64_t unstable = INT64_MAX;
  for (const auto& [producer, offset] : first) unstable = std::min(unstable, offset);
  ASSERT_EQ(open_.log->first_unstable_offset(), unstable);
}

void LogLife::append_some() {
  if (below(8) == 0) ++epoch_;
  for (uint32_t left = 1 + below(12); left > 0; --left) {
    const int64_t producer_id = kProducers[below(std::size(kProducers))];
    if (producers_[producer_id].in_transaction && below(4) == 0) {
      append_marker(producer_id);
    } else {
      append_data(producer_id);
    }
  }
}

void LogLife::append_data(int64_t producer_id) {
  record::BatchOptions options;
  Producer& producer = producers_[producer_id];
  const int32_t count = 1 + static_cast<int32_t>(below(3));
  if (producer_id != kPlain) {
    options.producer_id = producer_id;
    options.producer_epoch = 0;
    options.base_sequence = producer.next_sequence;
    options.transactional = producer_id >= kFirstTransactional;
    producer.next_sequence += count;
    producer.in_transaction = options.transactional;
  }
  record::BatchBuilder builder(options);
  for (int32_t i = 0; i < count; ++i) {
    const std::string key = "key-" + std::to_string(below(kKeys));
    const std::string value = "value-" + std::to_string(records_) + std::string(below(200), 'x');
    const int64_t timestamp = clock.wall_ms() + ++records_ + static_cast<int64_t>(below(900));
    const bool tombstone = config_.compact && below(6) == 0;
    builder.append(timestamp, as_bytes(key),
                   tombstone ? std::nullopt : std::optional(as_bytes(value)));
  }
  append(std::move(builder.build()).value(), false);
}

void LogLife::append_marker(int64_t producer_id) {
  producers_[producer_id].in_transaction = false;
  append(*record::encode_end_marker({below(2) == 0, 0}, producer_id, 0, clock.wall_ms()), true);
}

void LogLife::append(std::vector<uint8_t> bytes, bool marker) {
  SentBatch batch;
  batch.begun = now();
  AppendBatch given;
  given.bytes = bytes;
  given.producer.origin = marker ? AppendOrigin::kCoordinator : AppendOrigin::kClient;
  const auto appended = open_.log->append(given, epoch_);
  ASSERT_TRUE(appended.ok()) << appended.error().message;
  ASSERT_FALSE(appended->duplicate);
  open_.log->advance_high_watermark(open_.log->log_end_offset());
  batch.bytes = std::move(bytes);
  batch.records = records_of(batch.view());
  if (marker) batch.commit = record::parse_end_marker(batch.view(), ByteView(batch.bytes))->commit;
  sent.push_back(std::move(batch));
}

void LogLife::flush() {
  const auto flushed = open_.log->flush();
  ASSERT_TRUE(flushed.ok()) << flushed.error().message;
  durable.push_back({now(), *flushed});
}

void LogLife::truncate() {
  if (config_.compact || sent.empty()) return;
  const int64_t end = open_.log->log_end_offset();
  const int64_t least = std::max(open_.log->log_start_offset(), end - 30);
  if (least >= end) return;
  const int64_t to = least + below(static_cast<uint32_t>(end - least));
  const size_t begun = now();
  const Status cut = open_.log->truncate_to(to);
  ASSERT_TRUE(cut.ok()) << cut.error().message;
  for (SentBatch& batch : sent) {
    if (batch.cut_from == SIZE_MAX && batch.view().last_offset() >= to) batch.cut_from = begun;
  }
  checkpoint();  // who truncates a log makes it known, as Kafka's replica manager does
  recount_producers();
  append_data(kPlain);
}

void LogLife::recount_producers() {
  producers_.clear();
  for (const SentBatch& batch : sent) {
    if (batch.cut_from != SIZE_MAX || !batch.view().has_producer_id()) continue;
    Producer& producer = producers_[batch.view().producer_id()];
    producer.in_transaction = batch.view().is_transactional() && !batch.commit;
    if (!batch.commit) {
      producer.next_sequence = batch.view().base_sequence() + batch.view().record_count();
    }
  }
}

void LogLife::note_start() {
  if (starts.empty() || starts.back().offset < open_.log->log_start_offset()) {
    starts.push_back({now(), open_.log->log_start_offset()});
  }
}

void LogLife::advance_start() {
  const int64_t start = open_.log->log_start_offset();
  const int64_t end = open_.log->log_end_offset();
  const int64_t to = start + below(static_cast<uint32_t>(end - start) / 2 + 1);
  starts.push_back({now(), std::max(start, to)});
  const Status advanced = open_.log->advance_log_start_offset(to);
  ASSERT_TRUE(advanced.ok()) << advanced.error().message;
}

void LogLife::checkpoint() {
  const int64_t start = open_.log->log_start_offset();
  const Status written = open_.write_checkpoints();
  ASSERT_TRUE(written.ok()) << written.error().message;
  durable_start.push_back({now(), start});
}

void LogLife::maintain() {
  const size_t begun = now();
  open_.log->maintain(open_.log->log_end_offset());
  open_.log->remove_due_files();
  note_start();
  starts.back().time = std::min(starts.back().time, begun);
}

void LogLife::clean() {
  const auto cleaned =
      open_.log->clean(std::min(open_.log->log_end_offset(), open_.log->first_unstable_offset()),
                       CleanSettings{.dedupe_buffer_bytes = 1 << 20});
  ASSERT_TRUE(cleaned.ok()) << cleaned.error().message;
  open_.log->remove_due_files();
}

void LogLife::stop() {
  const Status stopped = open_.stop();
  ASSERT_TRUE(stopped.ok()) << stopped.error().message;
  durable.push_back({now(), open_.log->log_end_offset()});
  open();
}

}  // namespace barnabas::storage
