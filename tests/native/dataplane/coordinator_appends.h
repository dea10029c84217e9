// Appends as the coordinators make them, but one at a time, to the end.
#pragma once

#include <future>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "dataplane/engine.h"

namespace barnabas::dataplane {

inline ErrorCode append_and_wait(Engine& engine, const CoordinatorAppend& append) {
  const auto late = std::make_shared<std::promise<ErrorCode>>();
  const auto outcomes =
      engine.append_all({&append, 1}, [late](size_t, ErrorCode error) { late->set_value(error); });
  return outcomes.at(0).has_value() ? *outcomes[0] : late->get_future().get();
}

inline ErrorCode append_records(Engine& engine, std::string_view topic, int32_t partition,
                                std::vector<KeyValueView> records) {
  return append_and_wait(engine,
                         {.topic = topic, .partition = partition, .records = std::move(records)});
}

inline ErrorCode append_marker(Engine& engine, std::string_view topic, int32_t partition,
                               const TransactionEnd& end) {
  return append_and_wait(engine, {.topic = topic, .partition = partition, .marker = end});
}

}  // namespace barnabas::dataplane
