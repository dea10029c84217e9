// What a disk may hold after the power was cut, given what it was asked to do until then.
//
// Everything up to the last fsync of a file is in it. What was written to it since is there, is not
// there, or is there in part: any of its 512-byte sectors, in any order, and a size that promises
// more than was written. Names are kept up to the last fsync of their directory; of the changes
// since, any number of the first ones (a journal keeps their order: without that no exchange of
// files by rename would hold, neither ours nor Apache Kafka's), less some files that were made or
// unlinked.
#pragma once

#include <cstdint>
#include <map>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "recording_file_system.h"

namespace barnabas::storage {

/// Files by their path from the root, and directories with a slash at the end.
using DiskImage = std::map<std::string, std::vector<uint8_t>>;

/// One of the states that the disk may be in after `calls`, drawn at random.
DiskImage after_power_cut(std::span<const DiskCall> calls, std::mt19937& random);

/// Makes the files in a directory, which is emptied.
void write_image(const DiskImage& image, const std::string& directory);

}  // namespace barnabas::storage
