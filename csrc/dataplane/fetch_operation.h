// One Fetch request from the reading to the answer.
//
//          +--------------------------- wake, timeout -----------------------------+
//          v                                                                       |
//   read (reactor) ----------------------> enough, an error, or no more time? -- no -> parked
//   read, bring in (disk threads, when -------^             | yes
//   something may be cold)                                  v
//                                                         answer
//
// What may be cold is read on a thread of its log directory, so that none waits for another's disk:
// a read goes through the entries in order, and goes on elsewhere where the next cold one lies
// elsewhere.
//
// Ownership: kept alive by the purgatory while parked, by a disk thread's task while there.
//
// Thread-safety: everything runs on the operation's reactor, except that while it is kOnDisk one
// disk thread has the entries to itself. count_visible() is called from anywhere.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "dataplane/fetch_plan.h"
#include "dataplane/purgatory.h"

namespace barnabas::dataplane {

class FetchOperation final : public DelayedOperation {
 public:
  FetchOperation(FetchServices& services, FetchPlan plan);
  ~FetchOperation() override;

  void start() { read(); }

 private:
  enum class State : uint8_t { kReading, kOnDisk, kParked, kAnswered };

  void on_wake() override;
  void on_timeout() override;
  void on_stop() override { on_timeout(); }
  bool count_visible(uint64_t bytes) override;
  [[nodiscard]] size_t memory_bytes() const override {
    return sizeof(FetchOperation) + plan_.memory_bytes();
  }

  void read();
  void read_entry(FetchEntry& entry);
  void decide();
  [[nodiscard]] bool may_answer() const;
  void park();
  /// Goes on reading on a disk thread.
  void go_to_disk();
  void read_on_disk_thread(size_t directory);
  void bring_in(FetchEntry& entry);
  void report(const std::string& failure);
  void answer();
  void make_session();
  void update_session();
  void remove_watches();

  FetchServices& services_;
  FetchPlan plan_;
  State state_ = State::kReading;
  bool expired_ = false;
  bool must_answer_ = false;  // an error, a divergence, or data that waiting cannot add to
  size_t next_entry_ = 0;     // to be read
  uint64_t bytes_read_ = 0;   // found by the last read
  std::atomic<uint64_t> available_{0};  // bytes_read_ and what came since
};

}  // namespace barnabas::dataplane
