// Any bytes from the other end of a connection, before and after its hello: frames that the peer may send, each of which its codec
// refuses or takes, or one end with a text; memory stays within its bounds either way. The first byte, modulo 4, chooses:
//   0   the bytes as they are, in pieces
//   1   behind a good hello, the same
//   2   behind a good hello, cut into fragments with right headers and sequences, lanes as their first bytes say
//   3   as 2, and the frame's checksum is mended: mutation alone never makes a right one
// Divided by 4, it chooses who speaks to whom.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "cluster/link/link_session.h"
#include "kernels/check.h"
#include "kernels/crc32c.h"
#include "tests/cluster/link/link_pair.h"
#include "tests/fuzz/round_trip.h"

namespace {

using herd::link::kFragmentHeaderBytes;
using herd::link::kPayloadBytesMax;
using herd::link::LinkSession;

constexpr std::size_t kPiece = 13;

using herd::handshake::Role;
struct Speakers {
  Role from;
  Role to;
};
constexpr Speakers kSpeakers[] = {{Role::kGateway, Role::kRank},       {Role::kNode, Role::kCoordinator},
                                  {Role::kRank, Role::kNode},          {Role::kNode, Role::kRank},
                                  {Role::kRank, Role::kRank},          {Role::kRank, Role::kGateway},
                                  {Role::kCoordinator, Role::kNode},   {Role::kCoordinator, Role::kGateway},
                                  {Role::kGateway, Role::kCoordinator}, {Role::kOperator, Role::kCoordinator},
                                  {Role::kCoordinator, Role::kOperator}};

void look_at(LinkSession& session, const Speakers& speakers, std::size_t sent) {
  std::size_t held = 0;
  for (const herd::link::LinkEvent& event : session.take_events()) {
    const auto* frame = std::get_if<herd::wire::OpenedFrame>(&event);
    if (frame == nullptr) continue;
    held += frame->frame.words.size() * 8;
    HERD_CHECK(herd::link::may_send(frame->header.kind, speakers.from, speakers.to), "what a peer may not send does not arrive");
    HERD_CHECK(frame->frame.words.size() <= herd::wire::frame_words_max(frame->header.kind), "lengths are bounded");
    herd::wire::try_decode_kind(frame->header.kind, frame->frame.words);
  }
  HERD_CHECK(held <= sent, "nothing arrives that was not sent");
  HERD_CHECK(session.fate() == LinkSession::Fate::kOpen || !session.why().message().empty(), "every end has a text");
  HERD_CHECK(session.queued_bytes() < 64 * 1024, "what a peer sends makes nothing wait for it");
}

void mend_checksum(std::vector<std::byte>& frame) {
  if (frame.size() < herd::wire::kFrameHeaderBytes) return;
  std::memset(frame.data() + 12, 0, 4);
  const std::uint32_t crc = herd::crc32c(frame);
  std::memcpy(frame.data() + 12, &crc, sizeof crc);
}

// How long a frame says that it is, as far as one fragment holds it and there are bytes.
std::size_t frame_bytes(std::span<const std::byte> input) {
  std::size_t bytes = input.size();
  if (std::uint32_t words = 0; input.size() >= 12) {
    std::memcpy(&words, input.data() + 8, sizeof words);
    bytes = std::min(bytes, herd::wire::kFrameHeaderBytes + std::size_t{words} * 8);
  }
  return std::min(bytes, kPayloadBytesMax) / 8 * 8;
}

// A fragment for every frame of the input: the lane, then the payload.
std::vector<std::byte> in_fragments(std::span<const std::byte> input, bool mended) {
  std::vector<std::byte> bytes;
  std::uint64_t sequence = 2;
  while (input.size() > 8) {
    const std::size_t size = frame_bytes(input.subspan(1));
    std::vector<std::byte> frame(input.begin() + 1, input.begin() + 1 + static_cast<std::ptrdiff_t>(size));
    if (mended) mend_checksum(frame);
    const std::size_t at = bytes.size();
    bytes.resize(at + kFragmentHeaderBytes);
    herd::link::write_fragment_header(
        std::span<std::byte, kFragmentHeaderBytes>(bytes.data() + at, kFragmentHeaderBytes),
        {static_cast<herd::link::Lane>(std::to_integer<unsigned>(input[0]) % herd::link::kLanes),
         static_cast<std::uint32_t>(frame.size()), sequence++});
    bytes.insert(bytes.end(), frame.begin(), frame.end());
    input = input.subspan(1 + size);
  }
  return bytes;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const int how = data[0] % 4;
  const Speakers& speakers = kSpeakers[data[0] / 4 % std::size(kSpeakers)];
  const auto input = std::as_bytes(std::span(data + 1, size - 1));
  LinkSession listener(herd::link::rules_of(speakers.to, "here", {{speakers.from, ""}}), {});
  if (how != 0) {
    LinkSession speaker(herd::link::rules_of(speakers.from, "there", {{speakers.to, ""}}), {});
    listener.on_bytes(herd::link::drain(speaker, {}), {});
    HERD_CHECK(listener.is_open(), "a good hello opens");
    (void)listener.take_events();
  }
  const std::vector<std::byte> bytes = how < 2 ? std::vector<std::byte>(input.begin(), input.end()) : in_fragments(input, how == 3);
  const std::size_t piece = how < 2 ? kPiece : kPayloadBytesMax;
  for (std::size_t at = 0; at < bytes.size(); at += piece)
    listener.on_bytes(std::span(bytes).subspan(at, std::min(piece, bytes.size() - at)), {});
  look_at(listener, speakers, bytes.size());
  return 0;
}
