#include "cluster/link/frame_assembly.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

#include "cluster/link/fragment.h"
#include "kernels/check.h"
#include "kernels/crc32c.h"

namespace herd::link {
namespace {

// Reserved at once: what one fragment may hold.
constexpr std::size_t kWordsReserved = kPayloadBytesMax / 8;

}  // namespace

Expected<wire::FrameHeader> FrameAssembly::begin(std::span<const std::byte> payload) {
  HERD_CHECK(empty(), "one frame of a lane at a time");
  if (payload.size() < wire::kFrameHeaderBytes) return fail(bad_input("frame: shorter than a header"));
  auto header = wire::parse_header(payload.first<wire::kFrameHeaderBytes>());
  if (!header) return fail(header.error());
  header_ = *header;
  checksum_ = wire::begin_checksum(*header);
  words_.reserve(std::min<std::size_t>(header->words, kWordsReserved));
  return *header;
}

Expected<std::optional<wire::OpenedFrame>> FrameAssembly::add(std::span<const std::byte> payload) {
  HERD_CHECK(!empty(), "a frame has begun");
  const std::size_t begun = words_.empty() ? wire::kFrameHeaderBytes : 0;
  const std::size_t missing = begun + (header_->words - words_.size()) * 8;
  if (payload.size() != std::min(missing, kPayloadBytesMax))
    return fail(bad_input("frame: a fragment of " + std::to_string(payload.size()) + " bytes where " +
                          std::to_string(std::min(missing, kPayloadBytesMax)) + " belong"));
  const auto bytes = payload.subspan(begun);
  checksum_ = crc32c(bytes, checksum_);
  const std::size_t held = words_.size();
  words_.resize(held + bytes.size() / 8);
  std::memcpy(words_.data() + held, bytes.data(), bytes.size());
  if (words_.size() < header_->words) return std::nullopt;
  const wire::FrameHeader header = *std::exchange(header_, std::nullopt);
  wire::Words words = std::exchange(words_, {});
  if (checksum_ != header.crc32c) return fail(bad_input("frame: wrong checksum"));
  return wire::OpenedFrame{header, {header.kind, std::move(words)}};
}

}  // namespace herd::link
