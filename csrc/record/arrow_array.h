// Decoded records as an array of Arrow's C data interface, which whoever takes it releases:
// https://arrow.apache.org/docs/format/CDataInterface.html
//
// Ownership: arrays and children each keep what they lie in. Thread-safety: an array may be
// released on any thread.
#pragma once

#include <cstdint>

#include "record/columns.h"

namespace barnabas::record {

/// As the interface has it.
struct ArrowArray {
  int64_t length;
  int64_t null_count;
  int64_t offset;
  int64_t n_buffers;
  int64_t n_children;
  const void** buffers;
  ArrowArray** children;
  ArrowArray* dictionary;
  void (*release)(ArrowArray*);
  void* private_data;
};

/// Fills `out` with a struct array of partition int32, offset int64, timestamp int64, key and value
/// BinaryView, headers LargeList of structs of key and value BinaryView: without a copy, but for
/// the ends of headers. `owner` keeps the columns until `let_go` is called with it, from any
/// thread. Where memory is short it throws; what is in `out` then is to be released, too, if it can
/// be.
void export_arrow(const RecordColumns& columns, int32_t partition, void* owner,
                  void (*let_go)(void*), ArrowArray* out);

}  // namespace barnabas::record
