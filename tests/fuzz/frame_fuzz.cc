// Any bytes as a frame: refused, or exactly the bytes that seal writes. Mutation alone never makes a right checksum, so each
// input is tried as it is and once more with its checksum mended.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "cluster/wire/envelope.h"
#include "kernels/check.h"
#include "kernels/crc32c.h"

namespace {

using herd::wire::kFrameHeaderBytes;

void try_open(const std::vector<std::byte>& bytes) {
  const auto opened = herd::wire::open(bytes);
  if (!opened) return;
  HERD_CHECK(bytes.size() == kFrameHeaderBytes + opened->frame.words.size() * 8, "a frame is as long as it says");
  HERD_CHECK(opened->frame.words.size() <= herd::wire::frame_words_max(opened->frame.kind), "lengths are bounded");
  const auto sealed = herd::wire::seal(opened->frame, opened->header.cluster_epoch, opened->header.replica);
  HERD_CHECK(sealed.has_value() && *sealed == bytes, "a frame has one spelling");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto view = std::as_bytes(std::span(data, size));
  std::vector<std::byte> bytes(view.begin(), view.end());
  try_open(bytes);
  if (size < kFrameHeaderBytes) return 0;
  std::memset(bytes.data() + 12, 0, 4);
  const std::uint32_t crc = herd::crc32c(bytes);
  std::memcpy(bytes.data() + 12, &crc, sizeof crc);
  try_open(bytes);
  return 0;
}
