#include "cluster/wire/envelope.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <string>

#include "kernels/crc32c.h"
#include "runtime/step/plan_size.h"

namespace herd::wire {
namespace {

static_assert(std::endian::native == std::endian::little, "frames are copied as they lie in memory");

template <class Number>
void put(std::byte* at, Number number) {
  std::memcpy(at, &number, sizeof number);
}

template <class Number>
Number get(const std::byte* at) {
  Number number;
  std::memcpy(&number, at, sizeof number);
  return number;
}

std::array<std::byte, kFrameHeaderBytes> header_bytes(const FrameHeader& header) {
  std::array<std::byte, kFrameHeaderBytes> bytes{};
  put(bytes.data(), kFrameMagic);
  put(bytes.data() + 4, kFrameVersion);
  put(bytes.data() + 6, static_cast<std::uint16_t>(header.kind));
  put(bytes.data() + 8, header.words);
  put(bytes.data() + 12, header.crc32c);
  put(bytes.data() + 16, header.cluster_epoch.value);
  put(bytes.data() + 24, header.replica.epoch.value);
  put(bytes.data() + 32, header.replica.replica.value);
  return bytes;
}

// A message too long for its kind is a refusal with both numbers, on either side.
Status check_length(FrameKind kind, std::size_t words) {
  const std::uint32_t words_max = frame_words_max(kind);
  if (words_max == 0) return bad_input("frame: unknown kind " + std::to_string(static_cast<unsigned>(kind)));
  if (words == 0 || words > words_max)
    return bad_input("frame of kind " + std::to_string(static_cast<unsigned>(kind)) + ": " + std::to_string(words) +
                     " words, at least 1 and at most " + std::to_string(words_max));
  return {};
}

std::uint32_t checksum(const FrameHeader& header, std::span<const std::uint64_t> words) {
  return crc32c(std::as_bytes(words), begin_checksum(header));
}

}  // namespace

std::uint32_t begin_checksum(const FrameHeader& header) {
  FrameHeader without = header;
  without.crc32c = 0;
  return crc32c(header_bytes(without));
}

std::uint32_t frame_words_max(FrameKind kind) {
  switch (kind) {
    case FrameKind::kUnknown:
      return 0;
    case FrameKind::kHello:
      return 1U << 9;  // 4 KiB: the peer is not trusted yet
    case FrameKind::kSubmission:
      return 1U << 20;  // 2^20 tokens take half of it
    case FrameKind::kAbort:
      return 1U << 4;
    case FrameKind::kStepPlan:
      return step::kPlanWordsMax;  // the scheduler starts no more sequences in one plan than fit
    case FrameKind::kTokenDeltas:
    case FrameKind::kStepResult:
      return 1U << 21;  // 16 MiB: longer outputs are cut (runtime/step/cut_deltas.h)
    case FrameKind::kBlockPart:
      return 1U << 18;  // 2 MiB: its bytes take half of it
    case FrameKind::kGatewayJoin:
    case FrameKind::kPing:
      return 1U << 4;
    case FrameKind::kGoodbye:
      return 1U << 8;  // 2 KiB: its text takes half of it
    case FrameKind::kClusterView:
      return 1U << 17;  // 1 MiB: 1,024 replicas take two thirds
    case FrameKind::kRankSpec:
      return 1U << 11;  // 16 KiB: two paths of 4 KiB take half of it
    case FrameKind::kStatusAsk:
    case FrameKind::kStopReplica:
    case FrameKind::kLeaveGroup:
    case FrameKind::kRankLeft:
    case FrameKind::kRankLoading:
    case FrameKind::kReloadAsk:
    case FrameKind::kReloadDecision:
    case FrameKind::kNodeLeaving:
    case FrameKind::kMoveGrant:
    case FrameKind::kMoveStop:
      return 1U << 4;
    case FrameKind::kDrainAsk:
    case FrameKind::kReloadPrepare:
    case FrameKind::kJoinGroup:
      return 1U << 6;
    case FrameKind::kAssignment:
      return 1U << 11;  // 16 KiB: 1,024 drained replicas take 4
    case FrameKind::kPlaceAsk:
    case FrameKind::kPlaced:
    case FrameKind::kServing:
      return 1U << 8;  // 2 KiB: an address and a numerics id of 256 bytes each
    case FrameKind::kMoveAsk:
      return 1U << 18;  // 2 MiB: 65,536 hashes take half of it
    case FrameKind::kMoveFound:
      return 1U << 20;  // 8 MiB: 2^20 tokens take half of it
    case FrameKind::kMoveOver:
    case FrameKind::kGivenUp:
    case FrameKind::kRankJoined:
    case FrameKind::kRankFailed:
    case FrameKind::kRankEnded:
    case FrameKind::kRankReady:
    case FrameKind::kFormReplica:
      return 1U << 11;  // 16 KiB: a Status of 4 KiB beside some texts
    case FrameKind::kReplicaReport:
      return 1U << 16;  // 512 KiB: 32,768 keys of blocks take half of it
    case FrameKind::kOrderAnswer:
    case FrameKind::kReloadPrepared:
      return 1U << 16;  // 512 KiB: 256 lines of 512 bytes
    case FrameKind::kQuotaDemand:
    case FrameKind::kQuotaShares:
      return 1U << 17;  // 1 MiB: 4,096 tenants
    case FrameKind::kNodeJoin:
      return 1U << 13;  // 64 KiB: 64 replicas
    case FrameKind::kProcessReports:
    case FrameKind::kClusterStatus:
      return 1U << 20;  // 8 MiB: 4,096 processes with their texts
    case FrameKind::kGenerationEnded:
    case FrameKind::kReplicaLoss:
      return 1U << 19;  // 4 MiB: 65,536 attempts take 2.5
  }
  return 0;
}

Expected<std::vector<std::byte>> seal(const Frame& frame, Epoch cluster_epoch, routing::ReplicaGeneration replica) {
  if (Status status = check_length(frame.kind, frame.words.size()); !status.ok()) return fail(std::move(status));
  FrameHeader header{.kind = frame.kind,
                     .words = static_cast<std::uint32_t>(frame.words.size()),
                     .crc32c = 0,
                     .cluster_epoch = cluster_epoch,
                     .replica = replica};
  header.crc32c = checksum(header, frame.words);
  const auto head = header_bytes(header);
  const auto payload = std::as_bytes(std::span(frame.words));
  std::vector<std::byte> bytes(head.size() + payload.size());
  std::ranges::copy(head, bytes.begin());
  std::ranges::copy(payload, bytes.begin() + head.size());
  return bytes;
}

Expected<FrameHeader> parse_header(std::span<const std::byte, kFrameHeaderBytes> bytes) {
  const std::byte* at = bytes.data();
  if (get<std::uint32_t>(at) != kFrameMagic) return fail(bad_input("frame: not a herd frame"));
  const auto version = get<std::uint16_t>(at + 4);
  if (version != kFrameVersion)
    return fail(bad_input("frame: version " + std::to_string(version) + ", this build speaks " +
                          std::to_string(kFrameVersion)));
  FrameHeader header{.kind = static_cast<FrameKind>(get<std::uint16_t>(at + 6)),
                     .words = get<std::uint32_t>(at + 8),
                     .crc32c = get<std::uint32_t>(at + 12),
                     .cluster_epoch = Epoch(get<std::uint64_t>(at + 16)),
                     .replica = {ReplicaId(get<std::uint32_t>(at + 32)), Epoch(get<std::uint64_t>(at + 24))}};
  if (Status status = check_length(header.kind, header.words); !status.ok()) return fail(std::move(status));
  if (get<std::uint32_t>(at + 36) != 0) return fail(bad_input("frame: its reserved field is not 0"));
  return header;
}

Status verify(const FrameHeader& header, std::span<const std::uint64_t> words) {
  if (words.size() != header.words) return bad_input("frame: payload is not as long as its header says");
  if (checksum(header, words) != header.crc32c) return bad_input("frame: wrong checksum");
  return {};
}

Expected<OpenedFrame> open(std::span<const std::byte> bytes) {
  if (bytes.size() < kFrameHeaderBytes) return fail(bad_input("frame: shorter than a header"));
  const auto header = parse_header(bytes.first<kFrameHeaderBytes>());
  if (!header) return fail(header.error());
  const auto payload = bytes.subspan(kFrameHeaderBytes);
  if (payload.size() != std::size_t{header->words} * 8)
    return fail(bad_input("frame: payload is not as long as its header says"));
  OpenedFrame opened{.header = *header,
                     .frame = {.kind = header->kind, .words = Words(header->words)}};
  std::memcpy(opened.frame.words.data(), payload.data(), payload.size());
  if (Status status = verify(*header, opened.frame.words); !status.ok()) return fail(std::move(status));
  return opened;
}

}  // namespace herd::wire
