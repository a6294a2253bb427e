#pragma once
// What two replicas tell each other when KV blocks move from one to the other. Values; they travel as schema/moves.capnp says.
//
//   taker                           holder
//     MoveAsk                 ───>          which generation of the holder is meant stands in the frame's header
//                             <───  MoveFound        what of the chain it holds, and pins from now on; not ok: nothing
//     MoveGrant …             ───>          so many blocks more may come
//                             <───  BlockBytes …     of each block, those of every rank
//     MoveStop                ───>          no more of it is wanted
//                             <───  MoveOver         no more of it comes
// A holder that is not granted anything for a while lets go. Nothing here is retried: what does not come is computed.

#include <cstdint>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "cluster/routing/cluster_view.h"
#include "kernels/status.h"
#include "runtime/ids.h"
#include "runtime/kv/block_hash.h"
#include "runtime/step/block_bytes.h"

namespace herd::replica {

// Which KV blocks can be used as they are: those of equal bits, cut for as many ranks, that lie in memory alike.
struct KvKind {
  routing::NumericsId numerics;
  std::string layout;       // of a rank's block (runtime/kv/kv_layout_id.h)
  std::uint32_t ranks = 1;
  bool operator==(const KvKind&) const = default;
};

struct MoveAsk {
  TransferId move;                    // the taker's own; it names the move in all that follows
  KvKind kind;                        // of the taker's blocks
  std::uint64_t salt = 0;             // begins the chain
  std::uint32_t first = 0;            // block that is wanted first
  std::vector<kv::BlockHash> hashes;  // of the chain from its beginning on; more than `first`
  bool operator==(const MoveAsk&) const = default;
};
struct MoveGrant {
  TransferId move;
  std::uint32_t blocks = 0;
  bool operator==(const MoveGrant&) const = default;
};
struct MoveStop {
  TransferId move;
  bool operator==(const MoveStop&) const = default;
};
struct MoveFound {
  TransferId move;
  Status status;
  std::vector<TokenId> tokens;        // of the leading blocks that it holds: the taker compares them
  bool operator==(const MoveFound&) const = default;
};
struct MoveOver {
  TransferId move;
  Status why;                         // not ok
  bool operator==(const MoveOver&) const = default;
};

using SharedBlockBytes = std::shared_ptr<const step::BlockBytes>;
using ToHolder = std::variant<MoveAsk, MoveGrant, MoveStop>;
using ToTaker = std::variant<MoveFound, SharedBlockBytes, MoveOver>;

// A taker as its holder names it: a connection, or an actor of the same process.
using TakerId = std::uint64_t;

// What a replica hears while blocks move: from one that takes blocks of it, from one that it takes blocks from, and that either is gone.
struct FromTaker {
  TakerId taker = 0;
  ToHolder message;
};
struct TakerGone {
  TakerId taker = 0;
};
struct FromHolder {
  ToTaker message;
};
struct HolderGone {
  routing::ReplicaGeneration holder;
};
using MoveEvent = std::variant<FromTaker, TakerGone, FromHolder, HolderGone>;

}  // namespace herd::replica
