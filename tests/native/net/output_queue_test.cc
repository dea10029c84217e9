#include "net/output_queue.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <memory>
#include <string>

#include "client.h"

namespace barnabas::net {
namespace {

using FlushResult = OutputQueue::FlushResult;

class OutputQueueTest : public ::testing::Test {
 protected:
  OutputQueueTest() {
    std::array<int, 2> pair{};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair.data()), 0);
    ours = UniqueFd(pair[0]);
    theirs = UniqueFd(pair[1]);
  }

  /// What the peer finds in its socket now.
  std::string arrived() {
    std::string text(1 << 20, '\0');
    const ssize_t n = ::read(theirs.get(), text.data(), text.size());
    text.resize(n > 0 ? static_cast<size_t>(n) : 0);
    return text;
  }

  /// Flushes and reads by turns until `total` bytes came or nothing moves any more.
  std::string drain(size_t total) {
    std::string all;
    while (all.size() < total) {
      const FlushResult result = queue.flush(ours.get());
      const std::string part = arrived();
      all += part;
      if (part.empty() && result != FlushResult::kBlocked) break;
    }
    return all;
  }

  static Response answer(const std::string& text) {
    return Response::of(Bytes(text.begin(), text.end()));
  }
  static std::string framed(const std::string& text) {
    std::vector<uint8_t> prefix;
    testing::put_be32(prefix, static_cast<int32_t>(text.size()));
    return std::string(prefix.begin(), prefix.end()) + text;
  }
  static SharedFd file_with(const std::string& content) {
    char path[] = "/tmp/barnabas-output-XXXXXX";
    auto file = std::make_shared<const UniqueFd>(::mkstemp(path));
    ::unlink(path);
    EXPECT_TRUE(write_all_at(file->get(), as_bytes(content), 0, path).ok());
    return file;
  }

  UniqueFd ours;
  UniqueFd theirs;
  OutputQueue queue;
};

TEST_F(OutputQueueTest, AnswersWaitForEarlierOnes) {
  const uint32_t a = queue.open_slot();
  const uint32_t b = queue.open_slot();
  queue.complete(b, answer("second"));
  EXPECT_EQ(queue.flush(ours.get()), FlushResult::kDrained);
  EXPECT_EQ(arrived(), "");
  EXPECT_EQ(queue.in_flight(), 2U);
  queue.complete(a, answer("first"));
  queue.flush(ours.get());
  EXPECT_EQ(arrived(), framed("first") + framed("second"));
  EXPECT_EQ(queue.in_flight(), 0U);
  EXPECT_EQ(queue.unsent_bytes(), 0);
}

TEST_F(OutputQueueTest, AnUnsentAnswerStillCountsAsInFlight) {
  queue.complete(queue.open_slot(), answer("x"));
  EXPECT_EQ(queue.unanswered(), 0U);
  EXPECT_EQ(queue.in_flight(), 1U);
}

TEST_F(OutputQueueTest, ASecondAnswerToARequestIsIgnored) {
  const uint32_t first = queue.open_slot();
  const uint32_t second = queue.open_slot();
  queue.complete(second, answer("b"));
  queue.complete(second, answer("again"));
  queue.complete(first, answer("a"));
  queue.complete(first, answer("late"));
  queue.complete(second + 1, answer("never asked"));
  queue.flush(ours.get());
  EXPECT_EQ(arrived(), framed("a") + framed("b"));
}

TEST_F(OutputQueueTest, MemoryAndFileRangesMixAndEmptyOnesDoNotMatter) {
  const SharedFd file = file_with("0123456789");
  Response response = answer("head");
  response.chunks.emplace_back(Bytes{});
  response.chunks.emplace_back(FileSlice{file, 3, 0});
  response.chunks.emplace_back(FileSlice{file, 2, 4});
  response.chunks.emplace_back(Bytes{'t', 'a', 'i', 'l'});
  queue.complete(queue.open_slot(), std::move(response));
  queue.complete(queue.open_slot(), Response{});
  queue.complete(queue.open_slot(), answer("next"));
  const std::string expected = framed("head2345tail") + framed("") + framed("next");
  EXPECT_EQ(drain(expected.size()), expected);
  EXPECT_EQ(queue.flush(ours.get()), FlushResult::kDrained);
  EXPECT_FALSE(queue.has_output());
}

TEST_F(OutputQueueTest, HundredsOfChunksLeaveInOrder) {
  Response response;
  std::string expected;
  for (int i = 0; i < 500; ++i) {
    const std::string text = std::to_string(i) + ",";
    response.chunks.emplace_back(Bytes(text.begin(), text.end()));
    expected += text;
  }
  queue.complete(queue.open_slot(), std::move(response));
  EXPECT_EQ(drain(expected.size() + 4), framed(expected));
}

TEST_F(OutputQueueTest, AnAnswerLongerThanALengthCanSayClosesTheConnection) {
  const uint32_t sequence = queue.open_slot();
  Response response = Response::of({1, 2, 3});
  response.chunks.emplace_back(FileSlice{nullptr, 0, INT32_MAX});
  queue.complete(sequence, std::move(response));
  EXPECT_TRUE(queue.closing());
  EXPECT_FALSE(queue.has_output());
}

TEST_F(OutputQueueTest, AFullSocketIsContinuedWhereItStopped) {
  std::string content(3 << 20, '\0');
  for (size_t i = 0; i < content.size(); ++i) content[i] = static_cast<char>(i % 251);
  Response response = answer(content);
  response.chunks.emplace_back(FileSlice{file_with(content), 0, content.size()});
  queue.complete(queue.open_slot(), std::move(response));
  EXPECT_EQ(queue.flush(ours.get()), FlushResult::kBlocked);
  EXPECT_GT(queue.unsent_bytes(), 0);
  EXPECT_EQ(drain(content.size() * 2 + 4), framed(content + content));
  EXPECT_EQ(queue.unsent_bytes(), 0);
}

TEST_F(OutputQueueTest, NothingIsSentBehindAClose) {
  const uint32_t a = queue.open_slot();
  const uint32_t b = queue.open_slot();
  const uint32_t c = queue.open_slot();
  queue.complete(b, Response::close());
  EXPECT_TRUE(queue.closing());
  queue.complete(c, answer("never"));
  queue.complete(a, answer("last"));
  EXPECT_EQ(queue.flush(ours.get()), FlushResult::kClosed);
  EXPECT_EQ(arrived(), framed("last"));
  EXPECT_EQ(queue.unsent_bytes(), 0);
}

TEST_F(OutputQueueTest, AFileCutUnderneathIsAFailure) {
  Response response = answer("head");
  response.chunks.emplace_back(FileSlice{file_with("abc"), 0, 4});
  queue.complete(queue.open_slot(), std::move(response));
  EXPECT_EQ(queue.flush(ours.get()), FlushResult::kFailed);
  EXPECT_NE(queue.failure().find("shorter"), std::string::npos);
}

TEST_F(OutputQueueTest, APeerThatIsGoneIsAFailureNotASignal) {
  theirs.reset();
  queue.complete(queue.open_slot(), answer("x"));
  EXPECT_EQ(queue.flush(ours.get()), FlushResult::kFailed);
}

TEST_F(OutputQueueTest, OneFlushSendsNoMoreThanItsShare) {
  const int64_t large = 64 << 20;
  ::setsockopt(ours.get(), SOL_SOCKET, SO_SNDBUFFORCE, &large, sizeof(int));
  const std::string content(OutputQueue::kMaxFlushBytes * 2, 'x');
  Response response = answer("head");
  response.chunks.emplace_back(FileSlice{file_with(content), 0, content.size()});
  queue.complete(queue.open_slot(), std::move(response));
  EXPECT_EQ(queue.flush(ours.get()), FlushResult::kBlocked);
  EXPECT_LE(queue.bytes_sent(), OutputQueue::kMaxFlushBytes);
}

}  // namespace
}  // namespace barnabas::net
