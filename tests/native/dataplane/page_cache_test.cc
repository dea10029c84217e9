// Cold ranges of a file are told from resident ones, and can be brought in.
#include "dataplane/page_cache.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <memory>
#include <vector>

#include "storage/log_fixture.h"

namespace barnabas::dataplane {
namespace {

constexpr uint64_t kFileBytes = 4 << 20;

class PageCacheTest : public ::testing::Test {
 protected:
  void SetUp() override {
    path_ = directory_.path() + "/file";
    auto fd = open_file(path_, O_RDWR | O_CREAT);
    ASSERT_TRUE(fd.ok());
    file_ = std::make_shared<const UniqueFd>(std::move(fd).value());
    const std::vector<uint8_t> bytes(kFileBytes, 7);
    ASSERT_TRUE(write_all_at(file_->get(), bytes, 0, path_).ok());
    ASSERT_TRUE(sync_data(file_->get(), path_).ok());
  }
  /// False where the file system keeps its pages whatever it is told (tmpfs).
  bool evict() {
    ::posix_fadvise(file_->get(), 0, 0, POSIX_FADV_DONTNEED);
    return !is_resident({file_, 0, kFileBytes});
  }

  storage::TemporaryDirectory directory_;
  std::string path_;
  SharedFd file_;
};

TEST_F(PageCacheTest, what_was_just_written_is_resident) {
  EXPECT_TRUE(is_resident({file_, 0, kFileBytes}));
  EXPECT_TRUE(is_resident({file_, 4095, 2}));
  EXPECT_TRUE(is_resident({file_, 12345, 0}));
}

TEST_F(PageCacheTest, an_evicted_range_is_resident_once_it_was_brought_in) {
  if (!evict()) GTEST_SKIP() << "pages cannot be evicted here";
  const FileSlice slice{file_, kFileBytes / 2 + 100, 100'000};
  EXPECT_FALSE(is_resident(slice));
  EXPECT_TRUE(bring_in(slice, path_).ok());
  EXPECT_TRUE(is_resident(slice));
}

TEST_F(PageCacheTest, a_range_with_a_hole_in_memory_is_not_resident) {
  if (!evict()) GTEST_SKIP() << "pages cannot be evicted here";
  ASSERT_TRUE(bring_in({file_, 0, kFileBytes}, path_).ok());
  ::posix_fadvise(file_->get(), kFileBytes / 4, kFileBytes / 4, POSIX_FADV_DONTNEED);
  EXPECT_FALSE(is_resident({file_, 0, kFileBytes}));
}

TEST_F(PageCacheTest, a_range_beyond_the_file_is_an_error_that_names_it) {
  const Status status = bring_in({file_, kFileBytes - 10, 20}, path_);
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, ErrorCode::kKafkaStorageError);
  EXPECT_NE(status.error().message.find(path_), std::string::npos);
}

}  // namespace
}  // namespace barnabas::dataplane
