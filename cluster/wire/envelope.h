#pragma once
// Frames: what carries one Cap'n Proto message between two processes. A 40-byte header that is checked before
// anything is allocated for its payload, then the message as a flat array of words.
//
//   0 magic u32 | 4 version u16 | 6 kind u16 | 8 words u32 | 12 crc32c u32 | 16 cluster epoch u64
//   24 group epoch u64 | 32 replica u32 | 36 zero u32 | 40 payload          (little-endian)
//
// Replica and group epoch are the generation that the message is about, so that several replicas can share a connection
// and a stale frame is dropped before its payload is decoded; both are 0 in a frame about none. (An epoch that somebody
// handed out is never 0.) The checksum covers header (its own field as zero) and payload.

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "cluster/routing/replica_generation.h"
#include "kernels/status.h"
#include "runtime/ids.h"

namespace herd::wire {

// Numbers are for ever.
enum class FrameKind : std::uint16_t {
  kUnknown = 0,
  kHello = 1,
  kSubmission = 2,
  kAbort = 3,
  kTokenDeltas = 4,
  kStepPlan = 5,
  kStepResult = 6,
  // 7 is obsolete: a step's outputs in parts, which no process ever sent.
  kGatewayJoin = 8,
  kClusterView = 9,
  kReplicaLoss = 10,
  kRankSpec = 11,
  kPing = 12,
  kGoodbye = 13,
  // Between a node and the coordinator (membership.capnp):
  kNodeJoin = 14,
  kAssignment = 15,
  kPlaceAsk = 16,
  kPlaced = 17,
  kServing = 18,
  kGivenUp = 19,
  // Between a node, a leader and its ranks (group.capnp):
  kRankLoading = 20,
  kRankReady = 21,
  kFormReplica = 22,
  kJoinGroup = 23,
  kRankJoined = 24,
  kLeaveGroup = 25,
  kRankLeft = 26,
  kRankFailed = 27,
  kStopReplica = 28,
  kRankEnded = 29,
  kGenerationEnded = 30,
  kReplicaReport = 31,
  // What processes say of themselves, for operators (report.capnp):
  kProcessReports = 32,
  kStatusAsk = 33,
  kClusterStatus = 34,
  kDrainAsk = 35,
  kReloadAsk = 36,
  kOrderAnswer = 37,
  kReloadPrepare = 38,
  kReloadPrepared = 39,
  kReloadDecision = 40,
  // Between gateways and the coordinator (control.capnp):
  kQuotaDemand = 41,
  kQuotaShares = 42,
  // From a node to the coordinator (membership.capnp):
  kNodeLeaving = 43,
  // Between a leader and its ranks (step.capnp):
  kBlockPart = 44,
  // Between leaders while KV blocks move (moves.capnp):
  kMoveAsk = 45,
  kMoveGrant = 46,
  kMoveStop = 47,
  kMoveFound = 48,
  kMoveOver = 49,
};

inline constexpr std::size_t kFrameHeaderBytes = 40;
inline constexpr std::uint32_t kFrameMagic = 0x31445248;  // "HRD1"
inline constexpr std::uint16_t kFrameVersion = 1;

// Words of a flat Cap'n Proto message, segment table first. 8-byte aligned by type.
using Words = std::vector<std::uint64_t>;

// One message, not yet addressed. Value.
struct Frame {
  FrameKind kind = FrameKind::kUnknown;
  Words words;
  bool operator==(const Frame&) const = default;
};

struct FrameHeader {
  FrameKind kind = FrameKind::kUnknown;
  std::uint32_t words = 0;
  std::uint32_t crc32c = 0;
  Epoch cluster_epoch;
  routing::ReplicaGeneration replica;
  bool operator==(const FrameHeader&) const = default;
};

// The longest payload of a kind; 0 for a kind that does not exist.
[[nodiscard]] std::uint32_t frame_words_max(FrameKind kind);

// Header and payload as they travel. kBadInput: the payload is empty or longer than its kind may be. `replica`: whom the
// message is about; none by default.
[[nodiscard]] Expected<std::vector<std::byte>> seal(const Frame& frame, Epoch cluster_epoch,
                                                    routing::ReplicaGeneration replica = {});

// Magic, version, kind, length and the zeros are good; `words` may be read now.
[[nodiscard]] Expected<FrameHeader> parse_header(std::span<const std::byte, kFrameHeaderBytes> bytes);

// Where the checksum of a frame begins: crc32c() of its payload, continued from here, is the header's. For payloads that come in
// pieces.
[[nodiscard]] std::uint32_t begin_checksum(const FrameHeader& header);

// The payload is the one the header was made for.
[[nodiscard]] Status verify(const FrameHeader& header, std::span<const std::uint64_t> words);

struct OpenedFrame {
  FrameHeader header;
  Frame frame;
};
// All of it, of exactly one frame.
[[nodiscard]] Expected<OpenedFrame> open(std::span<const std::byte> bytes);

}  // namespace herd::wire
