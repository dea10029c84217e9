// A partition's records for a consumer in this process: read, checked, filtered, taken apart into
// columns.
//
// Ownership: what is fetched owns its memory, which goes back to a pool. Thread-safety: pure
// functions over the engine.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "dataplane/engine.h"
#include "embedded/fetch_pool.h"

namespace barnabas::embedded {

struct FetchOptions {
  size_t max_bytes = 1 << 20;  // of batches as they lie in the log; the first one is whole
  bool read_committed = false;
  bool check_crcs = true;
  size_t expansion_limit = 256 << 20;  // of one compressed batch
};

/// The records from `offset` on. Empty at the end of what there is to see. May wait for a disk.
/// `topic_id`: as for Engine::fetch. Errors: those of Engine::fetch and of decoding;
/// kCorruptMessage for a CRC that is wrong.
Result<std::shared_ptr<FetchedColumns>> fetch_columns(dataplane::Engine& engine, FetchPool& pool,
                                                      const std::string& topic, int32_t partition,
                                                      int64_t offset, const FetchOptions& options,
                                                      const Uuid& topic_id = {});

}  // namespace barnabas::embedded
