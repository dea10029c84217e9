// Memory of what was fetched, for what is fetched next: a megabyte that is new to the process costs
// more to be mapped, page by page, than to be read into.
//
// Ownership: what it hands out goes back to it with the last reference, and keeps it alive.
// Thread-safety: every method may be called from any thread; so may the last reference go.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/thread_annotations.h"
#include "dataplane/in_process_client.h"
#include "record/columns.h"

namespace barnabas::embedded {

struct FetchedColumns {
  dataplane::Fetched fetched;
  record::RecordColumns columns;  // refer to `fetched`; without control and aborted records
  int64_t next_offset = 0;        // to go on from, also where nothing is to be seen

  [[nodiscard]] size_t capacity_bytes() const {
    return fetched.bytes.capacity() + columns.capacity_bytes();
  }
};

class FetchPool : public std::enable_shared_from_this<FetchPool> {
 public:
  static std::shared_ptr<FetchPool> create() { return std::make_shared<FetchPool>(); }

  /// Empty, with memory that was used before when there is some.
  std::shared_ptr<FetchedColumns> take() EXCLUDES(mutex_);

 private:
  /// A reader holds one and is given the next.
  static constexpr size_t kKept = 2;
  static constexpr size_t kKeptBytes = 8 << 20;  // each, at most

  void give_back(std::unique_ptr<FetchedColumns> fetched) EXCLUDES(mutex_);

  Mutex mutex_;
  std::vector<std::unique_ptr<FetchedColumns>> free_ GUARDED_BY(mutex_);
};

}  // namespace barnabas::embedded
