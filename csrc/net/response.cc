#include "net/response.h"

#include <utility>

namespace barnabas::net {

Response Response::of(Bytes bytes) {
  Response response;
  response.chunks.emplace_back(std::move(bytes));
  return response;
}

}  // namespace barnabas::net
