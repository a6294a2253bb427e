@0x988be65faf205655;
# generate.capnp: a gateway asks a replica to run a sequence, and hears of its tokens.
#
#   gateway                         replica
#     Submission (attempt n)  ───>          once per attempt; answered by deltas only
#                             <───  TokenDeltas …   in order of output index, the last one terminal
#     Abort                   ───>          at any time; the deltas end with a terminal one
#
# Order: deltas of one attempt arrive in the order they were made. Lost: anything, when a connection or a replica
# dies. Retried: never by the sender of a message. The gateway's ledger learns that the replica is gone and submits
# prompt + delivered tokens to another replica under attempt n + 1; deltas of attempt n that still arrive are dropped.
# An Abort for an attempt that has ended is no error, and one for attempt n leaves attempt n + 1 alone.

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("herd::schema");
using Ids = import "ids.capnp";

struct Submission {
  gateway @0 :Ids.GatewayId;        # deltas go to it
  sequence @1 :Ids.SequenceId;
  attempt @2 :UInt32;               # deltas echo all three
  tokens @3 :List(Int32);           # prompt, then what was already delivered; 1 to 2^20
  promptTokens @4 :UInt32;          # border inside tokens; 1 to the length of tokens
  tokensMax @5 :UInt32;             # emitted tokens at most, those in tokens included; at most 2^20
  sampling @6 :SamplingParams;
  eosIds @7 :List(Int32);           # at most 128
  priority @8 :Int32;               # lower runs first
  cacheSalt @9 :UInt64;             # starts the block-hash chain
  output @10 :OutputSelector;
  aloneUntil @11 :UInt32;           # a suspect: it shares no step until it has emitted more than so many; at most 2^20
  source @12 :KvSource;             # who has a beginning of the tokens in its prefix cache; null: nobody is known to
}

struct KvSource {
  # A replica of the same numerics id: KV blocks may be had from there (moves.capnp).
  replica @0 :Ids.ReplicaId;
  epoch @1 :Ids.Epoch;              # not 0
  address @2 :Text;                 # of its leader; not empty; at most 256 bytes, no control characters
  tokens @3 :UInt32;                # that it has; 1 to 2^20
}

struct Abort {
  # Ends that attempt, and no other.
  attempt @0 :Ids.AttemptKey;
}

struct TokenDeltas {
  # What one step gave this gateway, or a part of it: rows that are too many for one frame come in deltas and messages of
  # their own, before the token or the end that they belong to. At most 65536.
  deltas @0 :List(TokenDelta);
}

struct TokenDelta {
  # Zero or one token of one sequence, and its end when finish is not `none`.
  gateway @0 :Ids.GatewayId;
  sequence @1 :Ids.SequenceId;
  attempt @2 :UInt32;
  token @3 :SampledToken;           # null: no token
  outputs @4 :List(OutputRows);     # rows asked for by Submission.output; at most 8
  finish @5 :FinishReason;
  error @6 :Ids.Status;             # why it ended so; null when there is nothing to say
  cachedTokens @7 :UInt32;          # prompt tokens served from the prefix cache; from the first token on
  queuedSeconds @8 :Float32;        # submission to first plan, of this attempt; finite, not negative
  prefillSeconds @9 :Float32;       # first plan to first token, of this attempt; finite, not negative
  preemptions @10 :UInt32;          # on the terminal delta
  promptLogprobs @11 :List(PromptLogprobs);  # asked for by Submission.output; at most 8
}

enum FinishReason {
  unknown @0;
  none @1;                          # goes on
  stop @2;                          # end-of-sequence id, stop id or stop string
  length @3;                        # tokensMax or the model's context
  aborted @4;                       # the client went away
  failed @5;                        # the replica could not go on
  refused @6;                       # never ran: no token, no outputs
}

struct SamplingParams {
  # Ranges: runtime/step/sampling_params.h. No value may be NaN or infinite.
  temperature @0 :Float32;
  topK @1 :Int32;
  topP @2 :Float32;
  minP @3 :Float32;
  repetitionPenalty @4 :Float32;
  presencePenalty @5 :Float32;
  frequencyPenalty @6 :Float32;
  seed @7 :UInt64;
  choice @8 :UInt32;
  logitBias @9 :List(LogitBias);    # at most 1024
  stopTokenIds @10 :List(Int32);    # at most 128
  ignoreEos @11 :Bool;
  tokensMin @12 :UInt32;
  logprobs @13 :Int32;              # -1: none; 0 to 20

  struct LogitBias {
    token @0 :Int32;
    bias @1 :Float32;
  }
}

struct SampledToken {
  sequence @0 :Ids.SequenceId;
  outputIndex @1 :UInt32;           # among the emitted tokens of the sequence
  token @2 :Int32;
  logprob @3 :Float32;              # NaN only when nonFinite
  top @4 :List(TokenLogprob);       # at most 20
  logitsHash @5 :UInt64;            # 0 unless hashing is on
  nonFinite @6 :Bool;               # the row of logits held a NaN; the sequence fails
}

struct TokenLogprob {
  token @0 :Int32;
  logprob @1 :Float32;
}

enum OutputSelector {
  unknown @0;
  none @1;
  logitsLast @2;
  logitsAll @3;
  hiddenLast @4;
  hiddenAll @5;
  hiddenAllNormalized @6;
  hiddenAllLayers @7;
  promptLogprobs @8;
}

struct PromptLogprobs {
  # How likely the model found a run of prompt tokens, each given those before it.
  sequence @0 :Ids.SequenceId;
  position @1 :UInt32;              # of the first one in the sequence; at least 1
  tokens @2 :List(PromptLogprob);   # ends at most at position 2^20
}

struct PromptLogprob {
  token @0 :Int32;
  logprob @1 :Float32;              # NaN: its row held a NaN; the sequence fails, so never in a delta
  top @2 :List(TokenLogprob);       # at most 20
}

struct OutputRows {
  # values holds layers * rows * width numbers, in that order; any bits, NaN included.
  sequence @0 :Ids.SequenceId;
  position @1 :UInt32;
  rows @2 :UInt32;                  # at most 2^20
  layers @3 :UInt32;                # 1 to 1024
  width @4 :UInt32;                 # floats per row; at most 2^22
  values @5 :List(Float32);
}
