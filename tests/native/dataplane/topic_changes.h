// Changes of topics from their beginning to their end, on the thread that asks.
#pragma once

#include "dataplane/engine.h"

namespace barnabas::dataplane {

inline Status carry_out(const Engine::Change& change) {
  return change.ok() ? (*change)->carry_out() : Status(change.error());
}

}  // namespace barnabas::dataplane
