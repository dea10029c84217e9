// Makes the logs of partitions that are new here, all or none, and has them served then.
//
// Each goes where there are the fewest partitions, or where it was asked for; one that its
// directory refuses goes to the next.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "dataplane/log_directories.h"
#include "dataplane/partition_table.h"
#include "dataplane/topic_change.h"

namespace barnabas::dataplane {

class PartitionCreation final : public TopicChange {
 public:
  /// Puts partitions into the table.
  using Serve = std::function<void(std::vector<std::shared_ptr<Partition>>)>;

  PartitionCreation(std::shared_ptr<const TopicIdentity> topic, const storage::LogConfig& config,
                    const PartitionTable& table, LogDirectories& directories, Serve serve);
  ~PartitionCreation() override { release_places(); }

  /// Decides where (partition, leader epoch) are to lie, in directories with `counts`. Before
  /// anything else, once.
  Status place(std::span<const std::pair<int32_t, int32_t>> partitions,
               LogDirectories::Counts counts);

  [[nodiscard]] std::optional<size_t> next_directory() const override;
  Status step() override;

 private:
  struct Wanted {
    int32_t index = 0;
    int32_t leader_epoch = 0;
    size_t directory = 0;
    std::vector<size_t> refused_by;
    std::unique_ptr<storage::Log> log;
  };

  /// Whether the steps that are left take back what there is.
  [[nodiscard]] bool has_failed() const { return !failure_.ok(); }
  Status make_logs(size_t directory);
  /// Another directory for one that was refused, for which `error` is the reason.
  Status place_again(Wanted& wanted, Error error);
  void discard_logs(size_t directory);
  void serve();
  void release_places();

  const std::shared_ptr<const TopicIdentity> topic_;
  const storage::LogConfig config_;
  const PartitionTable& table_;
  LogDirectories& directories_;
  const Serve serve_;
  LogDirectories::Counts counts_;  // of the directories when it began
  std::vector<Wanted> wanted_;
  bool has_places_ = false;  // the directories count them
  bool is_served_ = false;
  Status failure_;
};

}  // namespace barnabas::dataplane
