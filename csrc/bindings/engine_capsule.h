// How `_core` hands its engine to the extension modules that work with it in this process.
#pragma once

namespace barnabas::bindings {

/// The name of a capsule that holds a dataplane::Engine.
inline constexpr const char* kEngineCapsule = "barnabas.Engine";

}  // namespace barnabas::bindings
