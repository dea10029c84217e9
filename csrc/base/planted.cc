#include "base/planted.h"

#ifdef BARNABAS_PLANTED_BUGS

#include <cstdlib>
#include <string_view>

namespace barnabas {
namespace {

constexpr std::string_view kNames[] = {
    "kUnwrittenAck",       "kDuplicatedBatch", "kUnwrittenCommit",     "kEarlyStable",
    "kEarlyHighWatermark", "kAbortedOneShort", "kTimestampOff",        "kLastValueDropped",
    "kTombstoneDropped",   "kSnapshotBehind",  "kRecoveryCutsOneMore", "kRetentionTakesOneMore",
    "kIndexOneShort"};

}  // namespace

bool is_planted(Bug bug) {
  const char* const name = std::getenv("BARNABAS_BUG");
  return name != nullptr && kNames[static_cast<size_t>(bug)] == name;
}

}  // namespace barnabas

#endif
