// What came of making something durable, where the two ways to fail differ.
//
// An fsync that failed is final: the kernel may have dropped the pages it could not write and call
// them clean, so that another fsync would succeed and lie. Whatever else went wrong (no descriptor,
// no room) left all as it was.
#pragma once

#include <string>

#include "base/bytes.h"
#include "base/result.h"

namespace barnabas::storage {

struct SyncResult {
  Status status;
  bool fsync_failed = false;
};

/// Of a call that does nothing but an fsync.
SyncResult synced(Status status);
/// As replace_file() with Durability::kNow.
SyncResult replace_synced(const std::string& path, ByteView content);

}  // namespace barnabas::storage
