#include "dataplane/partition_creation.h"

#include <algorithm>
#include <cassert>
#include <string>

#include "base/fd.h"
#include "base/logger.h"

namespace barnabas::dataplane {
namespace {

void discard(std::unique_ptr<storage::Log> log) {
  Status status = log->mark_deleted();
  const std::string path = log->directory();
  log.reset();
  if (status.ok()) status = remove_tree(path);
  if (!status.ok()) barnabas::log(LogLevel::kWarning, "store", status.error().message);
}

}  // namespace

PartitionCreation::PartitionCreation(std::shared_ptr<const TopicIdentity> topic,
                                     const storage::LogConfig& config, const PartitionTable& table,
                                     LogDirectories& directories, Serve serve)
    : topic_(std::move(topic)),
      config_(config),
      table_(table),
      directories_(directories),
      serve_(std::move(serve)) {}

Status PartitionCreation::place(std::span<const std::pair<int32_t, int32_t>> partitions,
                                LogDirectories::Counts counts) {
  counts_ = std::move(counts);
  has_places_ = true;
  for (const auto& [index, leader_epoch] : partitions) {
    BARNABAS_ASSIGN(const size_t directory, directories_.place({topic_->name, index}, counts_, {}));
    wanted_.push_back({index, leader_epoch, directory, {}, nullptr});
  }
  return {};
}

std::optional<size_t> PartitionCreation::next_directory() const {
  if (is_served_) return std::nullopt;
  for (const Wanted& wanted : wanted_) {
    if ((wanted.log != nullptr) == has_failed()) return wanted.directory;
  }
  return std::nullopt;
}

Status PartitionCreation::step() {
  const auto directory = next_directory();
  assert(directory.has_value());
  {
    const LogDirectories::AtWork at_work(directories_, *directory);
    if (has_failed()) {
      discard_logs(*directory);
    } else {
      failure_ = make_logs(*directory);
    }
  }
  if (next_directory().has_value()) return {};
  if (!has_failed()) serve();
  release_places();
  return failure_;
}

Status PartitionCreation::make_logs(size_t directory) {
  PartitionStore& store = directories_.store(directory);
  std::vector<int32_t> indexes;
  for (const Wanted& wanted : wanted_) {
    if (wanted.directory == directory && wanted.log == nullptr) indexes.push_back(wanted.index);
  }
  BARNABAS_TRY(store.forget(topic_->name, indexes, table_));
  bool made = false;
  for (Wanted& wanted : wanted_) {
    if (wanted.directory != directory || wanted.log != nullptr) continue;
    const storage::TopicPartition name{topic_->name, wanted.index};
    auto log = store.create_log(name, topic_->id, config_);
    if (log.ok()) {
      wanted.log = std::move(log).value();
      made = true;
      continue;
    }
    barnabas::log(
        LogLevel::kWarning, "store",
        name.to_string() + " cannot be made in " + store.path() + ": " + log.error().message);
    if (store.has(name)) return std::move(log).error();
    BARNABAS_TRY(place_again(wanted, std::move(log).error()));
  }
  return made ? store.sync_names() : Status();
}

Status PartitionCreation::place_again(Wanted& wanted, Error error) {
  wanted.refused_by.push_back(wanted.directory);
  const auto directory =
      directories_.place({topic_->name, wanted.index}, counts_, wanted.refused_by);
  if (!directory.ok()) return error;
  directories_.end_placing(wanted.directory);
  wanted.directory = *directory;
  return {};
}

void PartitionCreation::discard_logs(size_t directory) {
  for (Wanted& wanted : wanted_) {
    if (wanted.directory == directory && wanted.log != nullptr) discard(std::move(wanted.log));
  }
}

void PartitionCreation::serve() {
  std::vector<std::shared_ptr<Partition>> partitions;
  std::vector<int32_t> indexes;
  for (Wanted& wanted : wanted_) {
    partitions.push_back(std::make_shared<Partition>(topic_, wanted.index, wanted.leader_epoch,
                                                     std::move(wanted.log)));
    partitions.back()->set_directory(wanted.directory);
    indexes.push_back(wanted.index);
  }
  serve_(std::move(partitions));
  is_served_ = true;
  directories_.end_preferring(topic_->name, indexes);
}

void PartitionCreation::release_places() {
  if (!has_places_) return;
  for (const Wanted& wanted : wanted_) directories_.end_placing(wanted.directory);
  has_places_ = false;
}

}  // namespace barnabas::dataplane
