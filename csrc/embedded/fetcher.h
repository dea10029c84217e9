// A partition's records for a consumer in this process: read, checked, filtered, taken apart into
// columns.
//
// Ownership: what is fetched owns its memory. Thread-safety: pure functions over the engine.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "dataplane/engine.h"
#include "record/columns.h"

namespace barnabas::embedded {

struct FetchOptions {
  size_t max_bytes = 1 << 20;  // of batches as they lie in the log; the first one is whole
  bool read_committed = false;
  bool check_crcs = true;
  size_t expansion_limit = 256 << 20;  // of one compressed batch
};

struct FetchedColumns {
  dataplane::Fetched fetched;
  record::RecordColumns columns;  // refer to `fetched`; without control and aborted records
  int64_t next_offset = 0;        // to go on from, also where nothing is to be seen
};

/// The records from `offset` on. Empty at the end of what there is to see. May wait for a disk.
/// Errors: those of Engine::fetch and of decoding; kCorruptMessage for a CRC that is wrong.
Result<std::unique_ptr<FetchedColumns>> fetch_columns(dataplane::Engine& engine,
                                                      const std::string& topic, int32_t partition,
                                                      int64_t offset, const FetchOptions& options);

}  // namespace barnabas::embedded
