@0x9408dfce9d933361;
# step.capnp: what a replica tells its ranks to compute, and what they answer.
#
#   replica                         every rank of the replica
#     StepPlan n              ───>
#     StepPlan n + 1          ───>          may follow before the results of n
#                             <───  StepOutputs n …   from rank 0, when the result would be too long for one frame
#                             <───  StepResult n      from every rank, in step order
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
}

struct SequenceFailure {
  # What the ranks could not do for one sequence of the plan: it ends, the others go on.
  sequence @0 :Ids.SequenceId;
  status @1 :Ids.Status;              # not ok
}

struct StepOutputs {
  # A part of what rank 0 computed in a step, before its StepResult; the receiver puts the parts together in order.
  epoch @0 :Ids.Epoch;
  stepId @1 :Ids.StepId;              # at least 1
  rank @2 :UInt32;                    # below 4096
  outputs @3 :List(Generate.OutputRows);    # at most 65536
  promptLogprobs @4 :List(Generate.PromptLogprobs);  # at most 65536
}

struct StepStats {
  rows @0 :UInt32;
  sequences @1 :UInt32;
  computeSeconds @2 :Float64;         # finite, not negative
  contextTokens @3 :UInt64;           # sum of the sequences' context lengths
  prefillRows @4 :UInt32;             # at most rows
}
