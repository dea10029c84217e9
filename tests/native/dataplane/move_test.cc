// Partitions move between log directories while they are written to and read from.
#include <filesystem>
#include <thread>

#include "dataplane/broker_fixture.h"
#include "dataplane/coordinator_appends.h"

namespace barnabas::dataplane {
namespace {

namespace fs = std::filesystem;

constexpr int kMoves = 8;

class DirectoryMoveTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto engine = Engine::create({{"num.network.threads", int64_t{1}}});
    ASSERT_TRUE(engine.ok()) << engine.error().message;
    engine_ = std::move(engine).value();
    const auto opened = engine_->open_directories(paths_, "cluster", 1);
    ASSERT_TRUE(opened.ok()) << opened.error().message;
    ASSERT_TRUE(engine_->make_directories({}).ok());
    ASSERT_TRUE(engine_->load_partitions({}, {}).ok());
    ASSERT_TRUE(engine_->start().ok());
    const std::pair<int32_t, int32_t> partition{0, 0};
    const SettingMap config = {{"internal.segment.bytes", int64_t{100'000}},
                               {"file.delete.delay.ms", int64_t{0}}};
    ASSERT_TRUE(carry_out(engine_->begin_creation("t", id_of(1), {&partition, 1}, config)).ok());
  }
  void TearDown() override {
    if (engine_ != nullptr) {
      EXPECT_TRUE(engine_->stop(0).ok());
    }
  }

  ErrorCode move_to(const std::string& path) {
    const DirectoryAssignment asked{"t", 0, path};
    const auto answers = engine_->alter_replica_log_dirs({&asked, 1});
    EXPECT_TRUE(answers.ok());
    return answers.ok() ? answers->front() : ErrorCode::kUnknownServerError;
  }
  [[nodiscard]] bool lies_in(const std::string& path) {
    const auto infos = engine_->partition_infos();
    return infos.size() == 1 && infos.front().directory == path;
  }
  int64_t append() {
    const std::string value(100, 'v');
    const KeyValueView record{std::nullopt, as_bytes(value)};
    EXPECT_EQ(append_records(*engine_, "t", 0, {record}), ErrorCode::kNone);
    return engine_->partition_info("t", 0)->log_end_offset - 1;
  }

  storage::TemporaryDirectory directory_;
  const std::vector<std::string> paths_ = {directory_.path() + "/a", directory_.path() + "/b"};
  std::unique_ptr<Engine> engine_;
};

TEST_F(DirectoryMoveTest, WritersAndReadersNoticeNothing) {
  std::atomic<bool> stopping{false};
  std::atomic<int64_t> appended{0};
  std::thread writer([&] {
    while (!stopping) {
      ASSERT_EQ(append(), appended.load());
      ++appended;
      // Copying is to be the faster one, under sanitizers, too.
      std::this_thread::sleep_for(std::chrono::microseconds(200));
    }
  });
  std::thread reader([&] {
    int64_t offset = 0;
    while (!stopping || offset < appended) {
      const auto fetched = engine_->fetch("t", 0, offset, 4096, false);
      ASSERT_TRUE(fetched.ok()) << fetched.error().message;
      ByteView rest(fetched->bytes.data(), fetched->bytes.size());
      while (const auto batch = record::peek_batch(rest)) {
        ASSERT_EQ(batch->base_offset(), offset);
        offset = batch->next_offset();
        rest = rest.subspan(batch->size_bytes());
      }
    }
  });
  for (int move = 1; move <= kMoves; ++move) {
    const std::string& target = paths_[static_cast<size_t>(move) % 2];
    EXPECT_EQ(move_to(target), ErrorCode::kNone);
    EXPECT_TRUE(eventually([&] { return lies_in(target); }));
  }
  stopping = true;
  writer.join();
  reader.join();
  EXPECT_TRUE(fs::exists(paths_[0] + "/t-0"));
  EXPECT_FALSE(fs::exists(paths_[1] + "/t-0"));
}

TEST_F(DirectoryMoveTest, MovesAreEndedByOthersAndByTheTopicsEnd) {
  for (int i = 0; i < 2000; ++i) append();
  for (int move = 1; move <= 20; ++move) {
    EXPECT_EQ(move_to(paths_[static_cast<size_t>(move) % 2]), ErrorCode::kNone);
  }
  EXPECT_EQ(move_to(directory_.path()), ErrorCode::kLogDirNotFound);
  EXPECT_TRUE(engine_->fetch("t", 0, 1999, 4096, false).ok());
  EXPECT_EQ(move_to(paths_[1]), ErrorCode::kNone);
  EXPECT_TRUE(carry_out(engine_->begin_deletion("t")).ok());
  EXPECT_EQ(move_to(paths_[1]), ErrorCode::kUnknownTopicOrPartition);
  EXPECT_TRUE(engine_->partition_infos().empty());
}

}  // namespace
}  // namespace barnabas::dataplane
