// What recovery has set aside of a corrupt log: nothing removes it, and it is there as a whole.
#include <cerrno>

#include "base/faulty_file_system.h"
#include "clean_fixture.h"

namespace barnabas::storage {
namespace {

class SetAsideTest : public CleanTest {
 protected:
  using Files = std::map<std::string, std::vector<uint8_t>>;

  [[nodiscard]] Files set_aside() const {
    Files found;
    for (const auto& name : names_with("")) {
      if (name.find(".log.corrupt-") != std::string::npos) found[name] = read_file(file(name));
    }
    return found;
  }
  void flip_bit(const std::string& name, uint64_t byte) {
    std::fstream stream(file(name), std::ios::binary | std::ios::in | std::ios::out);
    stream.seekg(static_cast<std::streamoff>(byte));
    const int right = stream.get();
    stream.seekp(static_cast<std::streamoff>(byte));
    stream.put(static_cast<char>(right ^ 1));
  }
};

TEST_F(SetAsideTest, ItStaysWhereverASwapIsInterrupted) {
  constexpr int kKeys = 100;  // so that something of each segment is left
  open();
  fill(15, kKeys);
  log.reset();
  const auto names = names_with(".log");
  ASSERT_GT(names.size(), 4u);
  flip_bit(names[1], record::kBatchHeaderSize);
  open();  // the rest of that segment, and the segments behind it
  const Files kept = set_aside();
  ASSERT_GT(kept.size(), 2u);
  fill(15, kKeys);  // at the offsets of what was set aside
  const auto expected = state();
  std::vector<std::string> interrupted;
  CleanSettings settings;
  settings.on_step = [&](CleanStep step) {
    if (step == CleanStep::kCleaned || step == CleanStep::kDone) return;
    interrupted.push_back(root.path() + "/at-" + std::to_string(interrupted.size()));
    fs::copy(directory, interrupted.back());
  };
  clean(settings);
  EXPECT_EQ(set_aside(), kept);
  const int64_t end = log->log_end_offset();
  ASSERT_GT(interrupted.size(), 20u);
  for (size_t n = 0; n < interrupted.size(); n += 11) {
    log.reset();
    fs::remove_all(directory);
    fs::copy(interrupted[n], directory);
    open(false, end);
    ASSERT_EQ(set_aside(), kept) << "at step " << n;
    ASSERT_EQ(state(), expected) << "at step " << n;
  }
}

TEST_F(SetAsideTest, SegmentsOfOneNameAreAllKept) {
  open();
  std::vector<std::vector<uint8_t>> second;  // of each life
  for (int life = 0; life < 3; ++life) {
    fill(12 + life);
    log.reset();
    const auto names = names_with(".log");
    ASSERT_GT(names.size(), 2u);
    second.push_back(read_file(file(names[1])));
    flip_bit(names[0], record::kBatchHeaderSize);
    open();
    ASSERT_EQ(log->segment_count(), 1u);
    const std::string first = names[1] + ".corrupt-0";
    const Files kept = set_aside();
    for (size_t n = 0; n < second.size(); ++n) {
      const std::string name = first + (n == 0 ? "" : "-" + std::to_string(n + 1));
      ASSERT_TRUE(kept.contains(name)) << name;
      EXPECT_EQ(kept.at(name), second[n]) << name;
    }
  }
}

TEST_F(SetAsideTest, OfACopyThatFailedNothingIsLeft) {
  config.segment_bytes = 1 << 20;
  open();
  fill(6);
  log.reset();
  const std::string name = names_with(".log").at(0);
  const auto whole = read_file(file(name));
  const auto first = record::peek_batch(whole);
  ASSERT_TRUE(first);
  const auto cut = first->size_bytes();
  flip_bit(name, cut + record::kBatchHeaderSize);
  FaultyFileSystem& files = FaultyFileSystem::instance();
  const uint64_t fault =
      files.add({FileCall::kWrite, {"*.corrupt-*"}, FaultEffect::kFail, ENOSPC, 1, 1});
  EXPECT_FALSE(try_open().ok());
  EXPECT_EQ(files.count(fault).struck, 1u);
  files.remove(fault);
  EXPECT_EQ(fs::file_size(file(name)), whole.size());
  open();
  const Files kept = set_aside();
  ASSERT_EQ(kept.size(), 1u);
  EXPECT_EQ(kept.begin()->first, name + ".corrupt-" + std::to_string(cut));
  EXPECT_EQ(kept.begin()->second.size(), whole.size() - cut);
}

}  // namespace
}  // namespace barnabas::storage
