// Result<T>: a value or an Error. Native code returns errors as values; only
// csrc/bindings turns them into Python exceptions.
//
// Thread-safety: as that of the value it holds.
#pragma once

#include <cassert>
#include <cerrno>
#include <cstring>
#include <optional>
#include <string>
#include <utility>
#include <variant>

#include "base/kafka_error.h"

namespace barnabas {

/// What went wrong: the Kafka error that a client is to see, the message for people, and errno
/// when the system refused (0 otherwise).
struct Error {
  ErrorCode code = ErrorCode::kUnknownServerError;
  std::string message;
  int sys_errno = 0;
};

/// An Error for a failed system call on `what` (usually a path); reads errno, so call it first.
inline Error system_error(const std::string& what, ErrorCode code = ErrorCode::kKafkaStorageError) {
  const int err = errno;
  return Error{code, what + ": " + std::strerror(err), err};
}

template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::move(value)) {}      // NOLINT: implicit on purpose
  Result(Error error) : state_(std::move(error)) {}  // NOLINT: implicit on purpose

  [[nodiscard]] bool ok() const { return std::holds_alternative<T>(state_); }
  explicit operator bool() const { return ok(); }

  // REQUIRES: ok()
  T& value() & { return std::get<T>(state_); }
  const T& value() const& { return std::get<T>(state_); }
  T&& value() && { return std::get<T>(std::move(state_)); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

  // REQUIRES: !ok()
  const Error& error() const& { return std::get<Error>(state_); }
  Error&& error() && { return std::get<Error>(std::move(state_)); }

 private:
  std::variant<T, Error> state_;
};

/// Success, or an Error.
class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(Error error) : error_(std::move(error)) {}  // NOLINT: implicit on purpose

  [[nodiscard]] bool ok() const { return !error_.has_value(); }
  explicit operator bool() const { return ok(); }
  // REQUIRES: !ok()
  const Error& error() const& { return *error_; }
  Error&& error() && { return *std::move(error_); }

 private:
  std::optional<Error> error_;
};

}  // namespace barnabas

// Returns the error of a Status or Result expression from the enclosing function.
#define BARNABAS_TRY(expr)                                                                   \
  do {                                                                                       \
    if (auto try_status_ = (expr); !try_status_.ok()) return std::move(try_status_).error(); \
  } while (false)

#define BARNABAS_CONCAT_INNER(a, b) a##b
#define BARNABAS_CONCAT(a, b) BARNABAS_CONCAT_INNER(a, b)

// BARNABAS_ASSIGN(auto x, expr): declares x from a Result, or returns its error.
#define BARNABAS_ASSIGN(decl, expr)                                   \
  auto BARNABAS_CONCAT(try_result_, __LINE__) = (expr);               \
  if (!BARNABAS_CONCAT(try_result_, __LINE__).ok())                   \
    return std::move(BARNABAS_CONCAT(try_result_, __LINE__)).error(); \
  decl = std::move(BARNABAS_CONCAT(try_result_, __LINE__)).value()
