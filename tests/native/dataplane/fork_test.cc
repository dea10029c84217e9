// Forks of a whole engine, while it is in use.
#include <atomic>
#include <filesystem>
#include <thread>

#include "dataplane/broker_fixture.h"
#include "dataplane/coordinator_appends.h"

namespace barnabas::dataplane {
namespace {

namespace fs = std::filesystem;

constexpr int kForkedPartitions = 6;
constexpr int kForks = 12;

class EngineForkTest : public ::testing::Test {
 protected:
  void SetUp() override {
    engine_ = start(paths_, {});
    std::vector<std::pair<int32_t, int32_t>> partitions;
    for (int32_t n = 0; n < kForkedPartitions; ++n) partitions.emplace_back(n, 0);
    ASSERT_TRUE(carry_out(engine_->begin_creation("t", id_of(1), partitions, config_)).ok());
  }
  void TearDown() override {
    if (engine_ != nullptr) {
      EXPECT_TRUE(engine_->stop(0).ok());
    }
  }

  std::unique_ptr<Engine> start(const std::vector<std::string>& paths,
                                const std::vector<PartitionSpec>& partitions) {
    auto created = Engine::create({{"num.network.threads", int64_t{1}}});
    EXPECT_TRUE(created.ok()) << created.error().message;
    auto engine = std::move(created).value();
    const auto opened = engine->open_directories(paths, "cluster", 1);
    EXPECT_TRUE(opened.ok()) << opened.error().message;
    EXPECT_TRUE(engine->make_directories({}).ok());
    const auto loaded = engine->load_partitions(partitions, {{"t", config_}});
    EXPECT_TRUE(loaded.ok()) << loaded.error().message;
    for (const LoadReport& report : *loaded) {
      EXPECT_EQ(report.error, "");
      EXPECT_FALSE(report.recovery.checked);
    }
    EXPECT_TRUE(engine->start().ok());
    return engine;
  }
  /// The fork in new directories, as an engine of its own.
  std::unique_ptr<Engine> fork(int number, bool durable = false) {
    std::vector<std::string> paths;
    for (const std::string name : {"/x", "/y"}) {
      paths.push_back(directory_.path() + name + std::to_string(number));
      fs::create_directory(paths.back());
    }
    const Status forked = engine_->fork(paths, durable);
    EXPECT_TRUE(forked.ok()) << forked.error().message;
    std::vector<PartitionSpec> specs;
    for (int32_t n = 0; n < kForkedPartitions; ++n) specs.push_back({"t", id_of(1), n, 0});
    return start(paths, specs);
  }
  static int64_t append(Engine& engine, int32_t partition) {
    const std::string value(100, 'v');
    const KeyValueView record{std::nullopt, as_bytes(value)};
    EXPECT_EQ(append_records(engine, "t", partition, {record}), ErrorCode::kNone);
    return engine.partition_info("t", partition)->log_end_offset - 1;
  }
  static std::vector<int64_t> ends_of(Engine& engine) {
    std::vector<int64_t> ends;
    for (int32_t n = 0; n < kForkedPartitions; ++n) {
      ends.push_back(engine.partition_info("t", n)->log_end_offset);
    }
    return ends;
  }

  const SettingMap config_ = {{"internal.segment.bytes", int64_t{20'000}},
                              {"file.delete.delay.ms", int64_t{0}}};
  storage::TemporaryDirectory directory_;
  const std::vector<std::string> paths_ = {directory_.path() + "/a", directory_.path() + "/b"};
  std::unique_ptr<Engine> engine_;
};

TEST_F(EngineForkTest, IsOfOneMomentWhileAppendsGoOn) {
  std::atomic<bool> stopping{false};
  // One record to each partition in turn: at no moment is a later one ahead of an earlier one.
  std::thread writer([&] {
    while (!stopping) {
      for (int32_t n = 0; n < kForkedPartitions; ++n) append(*engine_, n);
    }
  });
  for (int number = 0; number < kForks; ++number) {
    const auto forked = fork(number);
    const std::vector<int64_t> ends = ends_of(*forked);
    for (size_t n = 1; n < ends.size(); ++n) EXPECT_LE(ends[n], ends[n - 1]) << n;
    EXPECT_LE(ends.front(), ends.back() + 1);
    EXPECT_EQ(append(*forked, 0), ends.front());
    EXPECT_TRUE(forked->stop(0, LogsAtStop::kLeft).ok());
  }
  stopping = true;
  writer.join();
  EXPECT_EQ(engine_->partition_infos().size(), size_t{kForkedPartitions});
}

TEST_F(EngineForkTest, SurvivesTheEndOfWhatItComesFrom) {
  for (int32_t n = 0; n < 300; ++n) append(*engine_, 0);
  const auto forked = fork(0, true);
  EXPECT_TRUE(carry_out(engine_->begin_deletion("t")).ok());
  EXPECT_TRUE(engine_->stop(0).ok());
  engine_ = nullptr;
  for (const std::string& path : paths_) fs::remove_all(path);
  EXPECT_EQ(append(*forked, 0), 300);
  const auto fetched = forked->fetch("t", 0, 0, 4096, false);
  ASSERT_TRUE(fetched.ok()) << fetched.error().message;
  EXPECT_GT(fetched->bytes.size(), 0u);
  EXPECT_TRUE(forked->stop(0).ok());
}

TEST_F(EngineForkTest, TakesPartitionsWhereverTheyMove) {
  std::atomic<bool> stopping{false};
  std::thread mover([&] {
    for (int move = 0; !stopping; ++move) {
      const DirectoryAssignment asked{"t", 0, paths_[static_cast<size_t>(move) % 2]};
      EXPECT_TRUE(engine_->alter_replica_log_dirs({&asked, 1}).ok());
      append(*engine_, 0);
    }
  });
  for (int number = 0; number < kForks; ++number) {
    const auto forked = fork(number);
    EXPECT_GE(append(*forked, 0), 0);
    EXPECT_TRUE(forked->stop(0, LogsAtStop::kLeft).ok());
  }
  stopping = true;
  mover.join();
}

TEST_F(EngineForkTest, NeedsADirectoryForEach) {
  const Status forked = engine_->fork({directory_.path()}, false);
  ASSERT_FALSE(forked.ok());
  EXPECT_NE(forked.error().message.find("2 log directories"), std::string::npos);
}

}  // namespace
}  // namespace barnabas::dataplane
