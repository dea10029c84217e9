// The answer to a Fetch request: header bytes and, between them, ranges of segment files.
#pragma once

#include "dataplane/fetch_plan.h"
#include "net/response.h"

namespace barnabas::dataplane {

/// Moves the file slices of the entries into the response. What the client asked for by mistake
/// comes last, as in Kafka.
net::Response encode_fetch_response(FetchPlan& plan);

}  // namespace barnabas::dataplane
