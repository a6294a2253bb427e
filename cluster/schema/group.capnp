@0x90ba81718ce14d12;
# group.capnp: what the processes of one replica tell each other while its generations come and go. Steps: step.capnp.
#
#   node                            rank
#     RankSpec                ───>          first; sent once (rank.capnp)
#                             <───  RankLoading …    several times a second
#                             <───  RankReady        once; not ok: the process ends
#     LeaveGroup              ───>
#                             <───  RankLeft         no step of that epoch is under way
#                             <───  RankFailed       it is in no known state and ends
#   node                            leader, the process of rank 0
#     FormReplica             ───>          a generation; its ranks are in no group
#                             <───  Serving          it is formed (membership.capnp)
#     RankEnded               ───>          a process of it has ended
#     StopReplica             ───>          take nothing new, end when nothing is left, or after a while
#                             <───  GenerationEnded  it is over, once
#   leader                          rank
#     JoinGroup               ───>          first on a connection of its own for each generation
#                             <───  RankJoined
#   gateway                         leader
#                             <───  ReplicaReport …  several times a second while it is busy; news of its prefix cache
#     GatewayJoin             ───>          again, when news are missing; answered by a ReplicaReport with all of them
#
# The generation that a message is about stands in its frame's header; one of another generation is dropped. All ends are on one
# machine but for gateways: a connection that dies is a process that died. Nothing here is retried.

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("herd::schema");
using Control = import "control.capnp";
using Ids = import "ids.capnp";

struct RankLoading {
  doneBytes @0 :UInt64;               # at most allBytes
  allBytes @1 :UInt64;
}

struct RankReady {
  # Every text: at most 256 bytes, no control characters.
  status @0 :Ids.Status;              # not ok: the rank could not be prepared; no control characters
  rates @1 :DeviceRates;
  numericsClass @2 :Text;             # not empty where the status is ok
  weightsShared @3 :Digest;           # of what this rank read: its leaves
  weightsWhole @4 :Digest;            # and what is whole on every rank
  address @5 :Text;                   # HOST:PORT where a leader takes gateways; else empty
  metricsAddress @6 :Text;            # HOST:PORT
  device @7 :Text;                    # for people
}

struct Digest {
  high @0 :UInt64;
  low @1 :UInt64;
}

struct DeviceRates {
  # All finite.
  flopsPerSecond @0 :Float64;         # above 0
  bytesPerSecond @1 :Float64;         # above 0
  stepOverheadSeconds @2 :Float64;    # not negative
  attentionFlopsPerSecond @3 :Float64;  # not negative; 0: as flopsPerSecond
  attentionBytesPerSecond @4 :Float64;  # likewise
}

struct FormReplica {
  view @0 :Control.ReplicaView;       # with an epoch, address and numerics id; not lost
  ranks @1 :UInt32;                   # 1, 2, 4 or 8
  rendezvous @2 :Text;                # not empty; at most 128 bytes, no control characters
  scheduler @3 :SchedulerConfig;
  rates @4 :DeviceRates;              # of the slowest rank
  obsoletePredicts @5 :Bool;          # it was always true
  stepSecondsMax @6 :Float64;         # above 0, at most 10^7
  watch @7 :WatchConfig;
}

struct SchedulerConfig {
  # Ranges: runtime/scheduler/scheduler_config.h.
  sequencesMax @0 :UInt32;            # at most 65536
  rowsMax @1 :UInt32;                 # of a step; at most 2^20
  prefillSequencesMax @2 :UInt32;
  prefillChunkMax @3 :UInt32;         # 0: only the step's budget
  stepTime :union {                   # of a step that streams wait for
    followsDecode @4 :Void;           # by what the step takes without prompts
    bound @5 :UInt32;                 # milliseconds; 0: none
  }
  queueRequestsMax @6 :UInt32;
  queueTokensMax @7 :UInt64;
  modelLenMax @8 :UInt32;             # at most 2^20
  vocabSize @9 :Int32;                # 0: not checked
  blockSize @10 :UInt32;
  blocks @11 :UInt32;
  watermarkBlocks @12 :UInt32;
  prefixCaching @13 :Bool;
  sharedPrefixMin @14 :UInt32;
  policy @15 :SchedulingPolicy;
  stepsAhead @16 :UInt32;
  transferBlocksPerStep @17 :UInt32;  # at most 1024; 0: no KV blocks move between replicas
}

enum SchedulingPolicy {
  unknown @0;
  fcfs @1;                            # by arrival
  priority @2;                        # lower priority value first, then arrival
}

struct WatchConfig {
  # Seconds: not negative, at most 10^7.
  lookEverySeconds @0 :Float64;       # above 0
  leastSeconds @1 :Float64;
  factor @2 :Float64;                 # finite, not negative
  gapSeconds @3 :Float64;
}

struct JoinGroup {
  rendezvous @0 :Text;                # not empty; at most 128 bytes, no control characters
}

struct RankJoined {
  status @0 :Ids.Status;              # no control characters
}

struct LeaveGroup {
  epoch @0 :Ids.Epoch;                # not 0
}

struct RankLeft {
  epoch @0 :Ids.Epoch;                # not 0
}

struct RankFailed {
  why @0 :Ids.Status;                 # not ok; no control characters
}

struct StopReplica {
  # By then the steps in flight are finished and the generation ends, whatever is left; 0 to 86400. A later one replaces it.
  drainSeconds @0 :Float64;
}

struct RankEnded {
  rank @0 :UInt32;                    # below 1024
  cause @1 :Control.LossCause;
  why @2 :Ids.Status;                 # not ok; no control characters
}

struct GenerationEnded {
  loss @0 :Control.ReplicaLoss;
  # Of the steps that were under way: finite, not negative.
  operationSeconds @1 :Float64;       # the longest that one operation was predicted to take
  stepsSeconds @2 :Float64;           # what all of them together were
  noProgress @3 :Bool;                # it was lost because a rank made none
}

struct ReplicaReport {
  # Numbers of the sender since its generation began; counters rise only.
  serving @0 :Bool;
  steps @1 :UInt64;                   # finished
  staleResults @2 :UInt64;
  staleSubmissions @3 :UInt64;
  # By prediction, as of now; finite, not negative; 0: not known.
  decodeStepSeconds @4 :Float64;      # a step of the sequences that run
  promptTokenSeconds @5 :Float64;     # a token of a prompt, in a full chunk
  scheduler @6 :SchedulerStats;
  draining @7 :Bool;                  # it takes nothing new
  news @8 :BlockNews;                 # what changed in its prefix cache; null: nothing
  savedSeconds @9 :Float64;           # what the tokens that the cache had would have taken; finite, not negative
  moves @10 :MoveStats;               # null: nothing has moved
}

struct MoveStats {
  # Counters rise only.
  fetches @0 :UInt64;                 # moves that this replica asked for
  fetchesFailed @1 :UInt64;           # of these, those that brought less than was wanted
  blocksIn @2 :UInt64;
  bytesIn @3 :UInt64;
  blocksRecomputed @4 :UInt64;        # wanted from others, and computed
  blocksDamaged @5 :UInt64;
  blocksOut @6 :UInt64;
  bytesOut @7 :UInt64;
  leasesExpired @8 :UInt64;
  open @9 :UInt32;                    # under way, in and out
  tokenSeconds @10 :Float64;          # what a token took to come, lately; finite, not negative; 0: none has come
  fetchesWhole @11 :UInt64;           # of the fetches, those that brought all that was wanted
}

struct BlockNews {
  # Batches are numbered in the life of a generation: a gateway that misses one sends GatewayJoin again, and is told all.
  kind @0 :BlockNewsKind;
  number @1 :UInt64;                  # of the batch; of `all`: of the last one that it contains
  blockSize @2 :UInt32;               # tokens of a block; above 0
  blocks @3 :UInt32;                  # that the replica has; above 0
  stored @4 :List(UInt64);            # keys of blocks that it caches now; at most 32768, together with `evicted`
  evicted @5 :List(UInt64);           # of blocks that it gave up
}

enum BlockNewsKind {
  unknown @0;
  changes @1;                         # since the batch before
  all @2;                             # `stored` is all there is, together with the `more` that follow
  more @3;                            # of the batch, or the `all`, of that number
}

struct SchedulerStats {
  waiting @0 :UInt32;
  heldBackNow @1 :UInt32;             # of these, at most all of them
  queueTokens @2 :UInt64;
  running @3 :UInt32;
  draining @4 :UInt32;
  plansOutstanding @5 :UInt32;
  oldestWaitingNs @6 :UInt64;         # how long ago it came: clocks differ; 0: none waits; below 2^63
  accepted @7 :UInt64;
  refusedOverloaded @8 :UInt64;
  refusedBadInput @9 :UInt64;
  finishedStop @10 :UInt64;
  finishedLength @11 :UInt64;
  aborted @12 :UInt64;
  failed @13 :UInt64;
  preemptions @14 :UInt64;
  heldBack @15 :UInt64;
  stepsPlanned @16 :UInt64;
  prefillRows @17 :UInt64;
  decodeRows @18 :UInt64;
  tokensEmitted @19 :UInt64;
  tokensDiscarded @20 :UInt64;
  staleResults @21 :UInt64;
  blocks @22 :BlockStats;
  # KV blocks that are copied between replicas:
  exports @23 :UInt32;                # not over
  imports @24 :UInt32;                # not over
  blocksExported @25 :UInt64;         # read for other replicas
  blocksImported @26 :UInt64;         # filled with another replica's, and in the prefix cache
  blocksDamaged @27 :UInt64;          # not filled with what was sent
  blocksGivenUp @28 :UInt64;          # reserved for an import that ended without them
}

struct BlockStats {
  blocks @0 :UInt32;                  # free + idle + held
  free @1 :UInt32;
  idle @2 :UInt32;
  held @3 :UInt32;
  queryTokens @4 :UInt64;
  hitTokens @5 :UInt64;
  hitBlocks @6 :UInt64;
  missBlocks @7 :UInt64;
  publishedBlocks @8 :UInt64;
  evictedBlocks @9 :UInt64;
}
