@0x8451bd6ed8e81a3f;
# moves.capnp: two leaders while KV blocks move from the replica of one to the replica of the other.
#
#   taker                           holder
#     MoveAsk                 ───>          on a connection of its own between the two; which generation of the holder is meant stands
#                                           in the frame's header
#                             <───  MoveFound        once
#     MoveGrant …             ───>
#                             <───  BlockPart …      (step.capnp) of each block that was granted, those of every rank
#     MoveStop                ───>
#                             <───  MoveOver         no more of it comes
#
# Lost: anything, when the connection dies; then the holder lets go, and the taker computes what did not come. Nothing is retried. What
# is about a move that is over is dropped.

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("herd::schema");
using Ids = import "ids.capnp";

struct MoveAsk {
  move @0 :UInt64;                    # the taker's own number; not 0
  numericsId @1 :Text;                # of the taker's blocks; not empty; at most 256 bytes, no control characters
  kvLayoutId @2 :Text;                # likewise
  ranks @3 :UInt32;                   # 1, 2, 4 or 8
  salt @4 :UInt64;                    # begins the chain
  first @5 :UInt32;                   # block that is wanted first
  hashesHigh @6 :List(UInt64);        # of the blocks of the chain from its beginning on; more than `first`, at most 65536
  hashesLow @7 :List(UInt64);         # as many
}

struct MoveGrant {
  move @0 :UInt64;                    # not 0
  blocks @1 :UInt32;                  # so many more may come; 1 to 65536
}

struct MoveStop {
  move @0 :UInt64;                    # not 0
}

struct MoveFound {
  move @0 :UInt64;                    # not 0
  status @1 :Ids.Status;              # not ok: it gives nothing; no control characters
  tokens @2 :List(Int32);             # of the leading blocks that it holds; at most 2^20
}

struct MoveOver {
  move @0 :UInt64;                    # not 0
  why @1 :Ids.Status;                 # not ok; no control characters
}
