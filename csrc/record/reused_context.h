// Library contexts that are costly to make (a zstd or lz4 frame context, an inflate state), kept
// one per thread and kind between uses.
//
//   auto context = ReusedContext<ZstdTraits>::take();   // this thread's idle one, or a new one
//
// The context goes back to the idle slot of the thread that destroys it; a second one in use at the
// same time is made and freed.
//
// Traits: Handle (a pointer type), make(), reset(Handle) -> whether it may be used again,
// free(Handle).
//
// Thread-safety: a context belongs to the thread that took it until it is destroyed.
#pragma once

#include <cstddef>
#include <utility>

namespace barnabas::record {

/// A zstd context of more is not worth keeping: high levels take hundreds of MiB, a frame made at
/// level 22 has a window of 128.
inline constexpr size_t kMaxKeptZstdBytes = 16U << 20;

template <class Traits>
class ReusedContext {
 public:
  using Handle = typename Traits::Handle;

  static ReusedContext take() {
    if (Handle idle = std::exchange(slot().handle, nullptr)) return ReusedContext(idle);
    return ReusedContext(Traits::make());
  }
  ~ReusedContext() {
    if (handle_ == nullptr) return;
    if (slot().handle == nullptr && Traits::reset(handle_)) {
      slot().handle = handle_;
    } else {
      Traits::free(handle_);
    }
  }
  ReusedContext(ReusedContext&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  ReusedContext(const ReusedContext&) = delete;
  ReusedContext& operator=(const ReusedContext&) = delete;
  ReusedContext& operator=(ReusedContext&&) = delete;

  /// nullptr when the library could not make one (no memory).
  [[nodiscard]] Handle get() const { return handle_; }

 private:
  struct Slot {
    Handle handle = nullptr;
    ~Slot() {
      if (handle != nullptr) Traits::free(handle);
    }
  };
  explicit ReusedContext(Handle handle) : handle_(handle) {}
  static Slot& slot() {
    thread_local Slot idle;
    return idle;
  }

  Handle handle_;
};

}  // namespace barnabas::record
