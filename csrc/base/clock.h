// Time, as the data plane reads it. One interface, so that a test or an embedded broker can
// stand in another clock.
//
// Thread-safety: implementations are safe from every thread.
#pragma once

#include <cstdint>

namespace barnabas {

inline constexpr int64_t kNsPerMs = 1'000'000;

class Clock {
 public:
  virtual ~Clock() = default;
  /// Wall clock, milliseconds since the Unix epoch: record timestamps, retention. May jump.
  [[nodiscard]] virtual int64_t wall_ms() const = 0;
  /// Monotonic nanoseconds from an arbitrary start: every timeout. Never goes back.
  [[nodiscard]] virtual int64_t monotonic_ns() const = 0;

  /// The wall clock as if nobody had set it since the process began: timeouts of what is stored
  /// with the time of its beginning. Milliseconds since the epoch; never goes back.
  [[nodiscard]] virtual int64_t steady_ms() const = 0;
  /// How far it has been set since then, forth or back.
  [[nodiscard]] virtual int64_t set_by_ms() const { return wall_ms() - steady_ms(); }

  [[nodiscard]] int64_t monotonic_ms() const { return monotonic_ns() / kNsPerMs; }
};

/// The system's clocks. Lives for the whole process.
Clock& system_clock();

}  // namespace barnabas
