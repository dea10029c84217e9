#include "base/faulty_file_system.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <string>

#include "base/fd.h"

namespace barnabas {
namespace {

class FaultyFileSystemTest : public ::testing::Test {
 protected:
  FaultyFileSystemTest() {
    std::string pattern = (std::filesystem::temp_directory_path() / "barnabas-XXXXXX").string();
    EXPECT_NE(::mkdtemp(pattern.data()), nullptr);
    directory_ = pattern;
    file_ = open_file(path("file"), O_RDWR | O_CREAT).value();
  }
  ~FaultyFileSystemTest() override {
    FaultyFileSystem::instance().remove(id_);
    std::filesystem::remove_all(directory_);
  }

  [[nodiscard]] std::string path(const std::string& name) const { return directory_ + "/" + name; }
  void add(Fault fault) {
    FaultyFileSystem::instance().remove(id_);
    for (auto& pattern : fault.patterns) pattern = directory_ + "/" + pattern;
    id_ = FaultyFileSystem::instance().add(fault);
  }
  Status write(const std::string& text, uint64_t offset = 0) {
    return write_all_at(file_.get(), {reinterpret_cast<const uint8_t*>(text.data()), text.size()},
                        offset, "file");
  }
  [[nodiscard]] uint64_t struck() const { return FaultyFileSystem::instance().count(id_).struck; }

  std::string directory_;
  UniqueFd file_;
  uint64_t id_ = 0;
};

TEST_F(FaultyFileSystemTest, StrikesTheNthCallAndAsManyAsItIsTo) {
  add({.call = FileCall::kWrite, .patterns = {"f*"}, .value = ENOSPC, .nth = 2, .times = 2});
  EXPECT_TRUE(write("a").ok());
  for (int i = 0; i < 2; ++i) {
    const Status failed = write("b");
    ASSERT_FALSE(failed.ok());
    EXPECT_EQ(failed.error().sys_errno, ENOSPC);
  }
  EXPECT_TRUE(write("a").ok());
  EXPECT_EQ(struck(), 2u);
  EXPECT_EQ(FaultyFileSystem::instance().count(id_).matched, 4u);
}

TEST_F(FaultyFileSystemTest, LeavesOtherFilesAndOtherCallsAlone) {
  add({.call = FileCall::kWrite, .patterns = {"other"}, .value = EIO});
  EXPECT_TRUE(write("a").ok());
  add({.call = FileCall::kSync, .patterns = {"*"}, .value = EIO});
  EXPECT_TRUE(write("a").ok());
  EXPECT_FALSE(sync_data(file_.get(), "file").ok());
  EXPECT_FALSE(sync_file(file_.get(), "file").ok());
}

TEST_F(FaultyFileSystemTest, AShortWriteIsFollowedUpAndATornOneLeavesItsPart) {
  add({.call = FileCall::kWrite, .patterns = {"*"}, .effect = FaultEffect::kShort, .value = 2});
  EXPECT_TRUE(write("abcde").ok());
  EXPECT_EQ(struck(), 3u);
  add({.call = FileCall::kWrite, .patterns = {"*"}, .effect = FaultEffect::kTear, .value = 3});
  EXPECT_FALSE(write("vwxyz").ok());
  std::string found(5, ' ');
  EXPECT_TRUE(read_at(file_.get(), {reinterpret_cast<uint8_t*>(found.data()), 5}, 0, "file").ok());
  EXPECT_EQ(found, "vwxde");
}

TEST_F(FaultyFileSystemTest, NamesFailAsWell) {
  add({.call = FileCall::kRename, .patterns = {"file"}, .value = EIO});
  EXPECT_FALSE(rename_file(path("file"), path("to")).ok());
  add({.call = FileCall::kUnlink, .patterns = {"file"}, .value = EIO});
  EXPECT_FALSE(remove_file(path("file")).ok());
  add({.call = FileCall::kOpen, .patterns = {"file"}, .value = EMFILE});
  EXPECT_FALSE(open_file(path("file"), O_RDONLY).ok());
  add({.call = FileCall::kMakeDirectory, .patterns = {"sub"}, .value = ENOSPC});
  EXPECT_EQ(file_system().mkdir(path("sub").c_str(), 0755), -1);
  EXPECT_TRUE(std::filesystem::exists(path("file")));
  EXPECT_FALSE(std::filesystem::exists(path("sub")));
}

TEST_F(FaultyFileSystemTest, ADelayedCallIsDoneLater) {
  add({.call = FileCall::kTruncate, .patterns = {"*"}, .effect = FaultEffect::kDelay, .value = 50});
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_TRUE(truncate_file(file_.get(), 7, "file").ok());
  EXPECT_GE(std::chrono::steady_clock::now() - begin, std::chrono::milliseconds(50));
  EXPECT_EQ(std::filesystem::file_size(path("file")), 7u);
}

using FaultyFileSystemDeathTest = FaultyFileSystemTest;

TEST_F(FaultyFileSystemDeathTest, KillsBeforeOrAfterTheCall) {
  add({.call = FileCall::kRename, .patterns = {"*"}, .effect = FaultEffect::kKillBefore});
  EXPECT_EXIT((void)rename_file(path("file"), path("to")), ::testing::KilledBySignal(SIGKILL), "");
  EXPECT_TRUE(std::filesystem::exists(path("file")));
  add({.call = FileCall::kRename, .patterns = {"*"}, .effect = FaultEffect::kKillAfter});
  EXPECT_EXIT((void)rename_file(path("file"), path("to")), ::testing::KilledBySignal(SIGKILL), "");
  EXPECT_TRUE(std::filesystem::exists(path("to")));
}

}  // namespace
}  // namespace barnabas
