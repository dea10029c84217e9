// What the requests that have not been read to their end may take of memory, over all connections:
// Kafka's queued.max.request.bytes.
//
// Counted are the blocks that connections hold, as they grow with what arrives; a length that a
// client claims takes nothing. When it is used up connections are not read from until some is free,
// but for small frames, and but for one connection at a time that may go beyond it (overdraw): so
// one request after another is read to its end, whatever the others hold.
//
// Thread-safety: safe from every thread.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <utility>

namespace barnabas::net {

class RequestMemory {
 public:
  /// Of a frame this small the size is counted, but it never waits.
  static constexpr size_t kSmallFrameBytes = 16 << 10;
  /// The default is a quarter of the machine's memory, between these two.
  static constexpr int64_t kMinDefaultBytes = 128LL << 20;
  static constexpr int64_t kMaxDefaultBytes = 1LL << 30;

  /// `on_room` is called, from any thread, when those that wait should try again.
  RequestMemory(int64_t limit_bytes, std::function<void()> on_room)
      : limit_bytes_(limit_bytes), on_room_(std::move(on_room)) {}

  /// What queued.max.request.bytes means: itself, or, when it sets no limit (below 1), the default.
  [[nodiscard]] static int64_t limit_of(int64_t queued_max_request_bytes);

  void set_limit(int64_t limit_bytes);
  /// A connection holds so many bytes more, or fewer.
  void add(int64_t bytes);
  [[nodiscard]] bool has_room() const { return used_bytes_ < limit_bytes_; }
  /// Whether the caller may go beyond the limit, until end_overdraft().
  [[nodiscard]] bool overdraw() { return !overdrawn_.exchange(true); }
  void end_overdraft();
  /// From now on on_room() is called when there is room. Look for room once more after it.
  void wait() { waiting_ = true; }

  [[nodiscard]] int64_t used_bytes() const { return used_bytes_; }

 private:
  void tell_waiting();

  std::atomic<int64_t> limit_bytes_;
  const std::function<void()> on_room_;
  std::atomic<int64_t> used_bytes_{0};
  std::atomic<bool> overdrawn_{false};
  std::atomic<bool> waiting_{false};
};

}  // namespace barnabas::net
