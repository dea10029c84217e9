// The data directory: lock, identity, checkpoints, marker.
#include "storage/log_dir.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <fstream>

#include "base/faulty_file_system.h"
#include "log_fixture.h"

namespace barnabas::storage {
namespace {

class LogDirTest : public ::testing::Test {
 protected:
  [[nodiscard]] Result<std::unique_ptr<LogDir>> open(int32_t node_id = 1) const {
    return LogDir::open(path, {"cluster", node_id, ""});
  }
  [[nodiscard]] std::string error() const {
    auto opened = open();
    return opened.ok() ? "" : opened.error().message;
  }
  void write(const std::string& name, const std::string& text) const {
    std::ofstream(path + "/" + name) << text;
  }
  [[nodiscard]] std::string read(const std::string& name) const {
    std::ifstream in(path + "/" + name);
    return {std::istreambuf_iterator<char>(in), {}};
  }

  TemporaryDirectory root;
  std::string path = root.path() + "/data/dir";
};

TEST_F(LogDirTest, ANewDirectoryGetsAnIdentityThatStays) {
  std::string directory_id;
  {
    auto dir = open();
    ASSERT_TRUE(dir.ok()) << dir.error().message;
    directory_id = (*dir)->identity().directory_id;
    EXPECT_EQ(directory_id.size(), 22u);
    EXPECT_FALSE((*dir)->was_clean());
  }
  EXPECT_NE(read("meta.properties").find("version=1\n"), std::string::npos);
  auto again = LogDir::open(path, {"another", 1, ""});
  ASSERT_TRUE(again.ok());
  EXPECT_EQ((*again)->identity().cluster_id, "cluster");
  EXPECT_EQ((*again)->identity().directory_id, directory_id);
}

TEST_F(LogDirTest, ASecondBrokerIsKeptOut) {
  auto first = open();
  ASSERT_TRUE(first.ok());
  EXPECT_NE(error().find("in use by another process"), std::string::npos);
  first->reset();
  EXPECT_EQ(error(), "");
}

TEST_F(LogDirTest, AnotherNodesDirectoryIsRefused) {
  ASSERT_TRUE(open(1).ok());
  const auto other = open(2);
  ASSERT_FALSE(other.ok());
  EXPECT_NE(other.error().message.find("belongs to node 1"), std::string::npos);
}

TEST_F(LogDirTest, ADirectoryWithOtherThingsInItIsRefusedAndLeftAsItWas) {
  std::filesystem::create_directories(path);
  write("thesis.tex", "x");
  EXPECT_NE(error().find("not made by Barnabas"), std::string::npos);
  EXPECT_FALSE(std::filesystem::exists(path + "/.lock"));
}

TEST_F(LogDirTest, DamagedMetaPropertiesAreNamed) {
  ASSERT_TRUE(open().ok());
  write("meta.properties", "version=1\ncluster.id=c\nnode.id=x\n");
  EXPECT_NE(error().find("node.id"), std::string::npos);
  write("meta.properties", "version=0\nbroker.id=1\n");
  EXPECT_NE(error().find("version"), std::string::npos);
}

TEST_F(LogDirTest, TheCleanMarkerHoldsUntilTheDirectoryIsUsed) {
  ASSERT_TRUE((*open())->mark_clean().ok());
  EXPECT_TRUE((*open())->was_clean());  // a start that came to nothing
  {
    const auto used = open();
    EXPECT_TRUE((*used)->was_clean());
    ASSERT_TRUE((*used)->mark_in_use().ok());
  }
  const auto after_crash = open();
  EXPECT_FALSE((*after_crash)->was_clean());
  EXPECT_TRUE((*after_crash)->mark_in_use().ok());
}

TEST_F(LogDirTest, CheckpointsAreReadBackAndMissingOnesAreEmpty) {
  auto dir = open();
  ASSERT_TRUE(dir.ok());
  EXPECT_TRUE((*dir)->recovery_points()->empty());
  const OffsetCheckpoint offsets{{{"a", 0}, 5}, {{"b-c", 12}, 1LL << 40}};
  ASSERT_TRUE((*dir)->write_recovery_points(offsets).ok());
  EXPECT_EQ(*(*dir)->recovery_points(), offsets);
  EXPECT_EQ(read("recovery-point-offset-checkpoint"), "0\n2\na 0 5\nb-c 12 1099511627776\n");
}

TEST_F(LogDirTest, ADamagedCheckpointNamesItsLine) {
  auto dir = open();
  ASSERT_TRUE(dir.ok());
  for (const char* text : {"0\n2\na 0 5\n", "1\n0\n", "0\nx\n", "0\n1\na 0\n", "0\n1\na 0 5x\n"}) {
    write("replication-offset-checkpoint", text);
    const auto read_back = (*dir)->high_watermarks();
    ASSERT_FALSE(read_back.ok()) << text;
    EXPECT_NE(read_back.error().message.find("line"), std::string::npos);
  }
}

TEST_F(LogDirTest, AWrongBitInAnOffsetOrInItsChecksumIsRefused) {
  {
    auto dir = open();
    ASSERT_TRUE(dir.ok());
    // The second differs from the first in one bit.
    for (const int64_t offset : {22, 23}) {
      ASSERT_TRUE((*dir)->write_log_start_offsets({{{"s", 0}, offset}}).ok());
      ASSERT_TRUE((*dir)->write_recovery_points({{{"s", 0}, offset}}).ok());
      ASSERT_TRUE((*dir)->write_cleaned_offsets({{{"s", 0}, offset}}).ok());
    }
  }
  using Read = Result<OffsetCheckpoint> (LogDir::*)() const;
  const std::pair<std::string, Read> checkpoints[] = {
      {"log-start-offset-checkpoint", &LogDir::log_start_offsets},
      {"recovery-point-offset-checkpoint", &LogDir::recovery_points},
      {"cleaner-offset-checkpoint", &LogDir::cleaned_offsets}};
  for (const auto& [name, read_offsets] : checkpoints) {
    for (const std::string& damaged : {name, name + ".crc"}) {
      const std::string right = read(damaged);
      for (size_t bit = 0; bit < 8 * right.size(); ++bit) {
        std::string wrong = right;
        wrong[bit / 8] = static_cast<char>(wrong[bit / 8] ^ (1 << bit % 8));
        write(damaged, wrong);
        auto dir = open();
        ASSERT_TRUE(dir.ok());
        const auto offsets = (**dir.*read_offsets)();
        ASSERT_FALSE(offsets.ok()) << damaged << ", bit " << bit;
        EXPECT_EQ(offsets.error().code, ErrorCode::kCorruptMessage);
        EXPECT_NE(offsets.error().message.find(name), std::string::npos);
      }
      write(damaged, right);
    }
  }
  EXPECT_EQ((*open())->log_start_offsets()->at({"s", 0}), 23);
}

TEST_F(LogDirTest, WithoutAChecksumAnOffsetIsTakenAsItIs) {
  auto dir = open();
  ASSERT_TRUE(dir.ok());
  write("log-start-offset-checkpoint", "0\n1\ns 0 7\n");
  EXPECT_EQ((*dir)->log_start_offsets()->at({"s", 0}), 7);
  ASSERT_TRUE((*dir)->write_log_start_offsets({{{"s", 0}, 8}}).ok());
  EXPECT_EQ((*dir)->log_start_offsets()->at({"s", 0}), 8);
}

TEST_F(LogDirTest, WhateverFailsWhileAnOffsetIsWrittenItIsTheOldOneOrTheNewOne) {
  for (const FileCall call :
       {FileCall::kOpen, FileCall::kWrite, FileCall::kSync, FileCall::kRename}) {
    bool struck = true;
    for (uint64_t nth = 1; struck; ++nth) {
      auto dir = open();
      ASSERT_TRUE(dir.ok());
      ASSERT_TRUE((*dir)->write_log_start_offsets({{{"s", 0}, 22}}).ok());
      auto& files = FaultyFileSystem::instance();
      const uint64_t fault =
          files.add({call, {root.path() + "*"}, FaultEffect::kFail, EIO, nth, 1});
      const Status written = (*dir)->write_log_start_offsets({{{"s", 0}, 23}});
      struck = files.count(fault).struck > 0;
      files.remove(fault);
      EXPECT_EQ(written.ok(), !struck);
      EXPECT_EQ((*dir)->sync_failed(), struck && call == FileCall::kSync);
      dir->reset();
      const auto offsets = (*open())->log_start_offsets();
      ASSERT_TRUE(offsets.ok()) << offsets.error().message;
      EXPECT_TRUE(offsets->at({"s", 0}) == 23 || (struck && offsets->at({"s", 0}) == 22));
    }
  }
}

TEST_F(LogDirTest, OnlyPartitionsInServiceAreListed) {
  auto dir = open();
  ASSERT_TRUE(dir.ok());
  for (const char* name : {"a-0", "a.b-c-12", "a-1.0123456789abcdef-delete", "a-2.x-future",
                           "a-3.x-stray", "plain", "a-"}) {
    std::filesystem::create_directories(path + "/" + name);
  }
  auto partitions = *(*dir)->list_partitions();
  std::sort(partitions.begin(), partitions.end());
  EXPECT_EQ(partitions, (std::vector<TopicPartition>{{"a", 0}, {"a.b-c", 12}}));
  ASSERT_TRUE((*dir)->remove_deleted().ok());
  EXPECT_FALSE(std::filesystem::exists(path + "/a-1.0123456789abcdef-delete"));
  EXPECT_TRUE(std::filesystem::exists(path + "/a-3.x-stray"));
}

}  // namespace
}  // namespace barnabas::storage
