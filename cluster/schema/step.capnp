@0x9408dfce9d933361;
# step.capnp: what a replica tells its ranks to compute, and what they answer.
#
#   replica                         every rank of the replica
#     StepPlan n              ───>
#     StepPlan n + 1          ───>          may follow before the results of n
#                             <───  StepResult n      from every rank, in step order
#
# When KV blocks go from one replica to another:
#   replica                         one of its ranks
#                             <───  BlockPart …       of the blocks that a plan reads, before that plan's result
#     BlockPart …             ───>          of a block that a later plan writes; in the order of plans, so before it
#
# Order: stepId counts from 1 within an epoch and ranks execute plans in that order. A rank answers a plan of another epoch,
# or one that is not the next, with a failed result that names both; the replica drops a result of another epoch or of a
# step it does not wait for. Nothing here is retried or may be lost: a lost message is a lost rank, and a lost rank is a
# lost group. Bulk tensors never travel here; they use collectives.

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("herd::schema");
using Ids = import "ids.capnp";
using Generate = import "generate.capnp";

struct StepPlan {
  # Carries only what changed. A rank first forgets `released`, then meets `started`, then computes `slices`.
  epoch @0 :Ids.Epoch;
  stepId @1 :Ids.StepId;              # at least 1
  released @2 :List(UInt64);          # sequences; at most 65536
  started @3 :List(SequenceStart);    # at most 65536, each sequence once
  slices @4 :List(SequenceSlice);     # at most 65536, each sequence once
  # Blocks of transfers, copied before the slices are computed.
  reads @5 :List(BlockCopy);          # handed out; at most 1024, each (transfer, index) once
  writes @6 :List(BlockCopy);         # filled with what came in BlockPart; at most 1024, each (transfer, index) once
  forgotten @7 :List(UInt64);         # transfers whose bytes, where not written, are dropped; at most 1024
}

struct BlockCopy {
  # One block of a transfer, and where it lies in this replica's pool.
  transfer @0 :UInt64;                # as this replica names it
  index @1 :UInt32;                   # in the chain of blocks that is transferred; below 2^20
  block @2 :UInt32;
}

struct SequenceStart {
  # A sequence the ranks meet for the first time, or again after a preemption.
  sequence @0 :Ids.SequenceId;
  tokens @1 :List(Int32);             # prompt + emitted tokens; 1 to 2^20
  promptTokens @2 :UInt32;            # border inside tokens
  sampling @3 :Generate.SamplingParams;
  stopIds @4 :List(Int32);            # resolved end and stop ids; at most 256
  adapterSlot @5 :UInt32;             # 0: the base model
  output @6 :Generate.OutputSelector;
  prefixBlocks @7 :List(UInt32);      # cached prefix, in order; at most 2^20
}

struct SequenceSlice {
  # Rows [position, position + rows) of one sequence.
  sequence @0 :Ids.SequenceId;
  position @1 :UInt32;                # position + rows at most 2^20
  rows @2 :UInt32;                    # at least 1
  newBlocks @3 :List(UInt32);         # appended to the block table before the step; at most 2^20
  sample @4 :Bool;                    # draw a token from the last row
  outputIndex @5 :UInt32;             # of that token among the emitted ones
}

struct StepResult {
  epoch @0 :Ids.Epoch;
  stepId @1 :Ids.StepId;              # at least 1
  rank @2 :UInt32;                    # below 4096
  status @3 :Ids.Status;              # not ok: the step failed, no tokens and nobody failed alone
  sampled @4 :List(Generate.SampledToken);  # rank 0; at most 65536
  outputs @5 :List(Generate.OutputRows);    # rank 0; at most 65536
  tokenHash @6 :UInt64;               # of all (sequence, token) and of who failed: equal on every rank, or the group fails
  stats @7 :StepStats;
  promptLogprobs @8 :List(Generate.PromptLogprobs);  # rank 0; at most 65536
  failed @9 :List(SequenceFailure);   # rank 0; at most 65536, each sequence once, none with a token
  damaged @10 :List(DamagedBlock);    # every rank: of blocksWritten, those that hold garbage; at most 1024
  blocksWritten @11 :UInt32;          # every rank: of the plan's writes, those it has done; at most 1024
}

struct DamagedBlock {
  # A block that this rank could not fill with what was sent. The step goes on.
  transfer @0 :UInt64;
  index @1 :UInt32;                   # below 2^20
}

struct BlockPart {
  # A part of one rank's share of a block, which is longer than one frame may be. Parts of one block come in order.
  transfer @0 :UInt64;                # as the replica of that rank names it
  index @1 :UInt32;                   # in the chain of blocks that is transferred; below 2^20
  rank @2 :UInt32;                    # below 4096
  crc32c @3 :UInt32;                  # of the whole share
  bytesTotal @4 :UInt64;              # of the whole share; 1 to 2^28
  offset @5 :UInt64;                  # offset + length of bytes at most bytesTotal
  bytes @6 :Data;                     # 1 to 2^20
}

struct SequenceFailure {
  # What the ranks could not do for one sequence of the plan: it ends, the others go on.
  sequence @0 :Ids.SequenceId;
  status @1 :Ids.Status;              # not ok
}

struct StepStats {
  rows @0 :UInt32;
  sequences @1 :UInt32;
  computeSeconds @2 :Float64;         # finite, not negative
  contextTokens @3 :UInt64;           # sum of the sequences' context lengths
  prefillRows @4 :UInt32;             # at most rows
}
