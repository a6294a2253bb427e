@0xf8ef36bc02b5e10f;
# report.capnp: what processes say of themselves, what an operator is shown of all, and what an operator orders.
#
#   node, gateway                   coordinator
#     ProcessReports          ───>          after its join, then again whenever it changes; replaces what it said before
#   operator                        coordinator
#     StatusAsk               ───>
#                             <───  ClusterStatus    one for each
#     DrainAsk, ReloadAsk     ───>
#                             <───  OrderAnswer      one for each
#   node, gateway                   coordinator
#                             <───  ReloadPrepare    read your file again, say what would change, and wait
#     ReloadPrepared          ───>
#                             <───  ReloadDecision   take it, or forget it
#     ReloadPrepared          ───>                    once more, without keys: it is taken
#
# Lost: anything, when a connection dies; the sender says all of it on the next one, and the operator asks again. A process that
# prepared a reload and hears of no decision for a while forgets it; its coordinator asks nobody twice.

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("herd::schema");
using Control = import "control.capnp";
using Ids = import "ids.capnp";

struct ProcessReports {
  processes @0 :List(ProcessReport);  # that the sender speaks for; each role and name once; at most 4096
  caches @1 :List(CacheReport);       # of a gateway: rising replicas; at most 1024
}

struct CacheReport {
  # The prefix cache of a replica, as a gateway heard of it last. Counters rise only.
  replica @0 :Ids.ReplicaId;
  epoch @1 :Ids.Epoch;
  queryTokens @2 :UInt64;             # looked up
  hitTokens @3 :UInt64;               # of these, found
  evictedBlocks @4 :UInt64;
  savedSeconds @5 :Float64;           # what the hits would have taken to compute; finite, not negative
  bytesIn @6 :UInt64;                 # of KV blocks taken from other replicas
  bytesOut @7 :UInt64;                # given to others
  blocksRecomputed @8 :UInt64;        # asked for, and computed as they did not come
}

struct ProcessReport {
  # Texts: at most 256 bytes, lastDeath 512, accessDigest 33, the two digests of a node 16; no control characters.
  role @0 :Control.Role;              # no operator
  name @1 :Text;                      # not empty; unique within a role, the same over restarts; of a rank "replica-0/rank-1"
  node @2 :Text;                      # on whose machine it runs; empty: not known
  pid @3 :Int64;                      # not negative; 0: there is none now
  leader @4 :Bool;                    # only of a rank: it takes its replica's gateways
  state @5 :ProcessState;
  epoch @6 :UInt64;                   # of its replica's group; of a coordinator the cluster's; else 0
  restarts @7 :UInt32;
  lastDeath @8 :Text;                 # empty: it never died
  endpointUrl @9 :Text;               # of a gateway
  metricsUrl @10 :Text;               # empty: none
  loadedPercent @11 :Int32 = -1;      # of its weights, while they load: 0 to 100; else -1
  accessDigest @12 :Text;             # of a gateway, else empty: tells whether its keys are those of another, and nothing else
  weightsDigest @13 :Text;            # of a node: which weights a replica of it read; empty: none
  tokenizerDigest @14 :Text;          # of a node: which tokenizer and chat template it has; empty: none
}

enum ProcessState {
  unknown @0;
  starting @1;
  serving @2;
  draining @3;
  stopped @4;
  failed @5;
}

struct StatusAsk {
}

struct ClusterStatus {
  cluster @0 :Text;                   # not empty; at most 256 bytes, no control characters
  processes @1 :List(ProcessReport);  # each role and name once; at most 4096
  replicas @2 :List(ReplicaLine);     # rising; at most 1024
  notices @3 :List(Text);             # what an operator should look at; at most 256, each as OrderAnswer's lines
}

struct ReplicaLine {
  replica @0 :Ids.ReplicaId;
  condition @1 :ReplicaCondition;
  node @2 :Text;                      # that holds it; empty: none; at most 256 bytes, no control characters
  epoch @3 :Ids.Epoch;
  why @4 :Text;                       # why it does not serve; at most 512 bytes, no control characters
  cache @5 :CacheReport;              # of that replica and epoch; null: no gateway has told of it
}

enum ReplicaCondition {
  unknown @0;
  serving @1;
  reforming @2;
  draining @3;
  lost @4;
}

struct DrainAsk {
  target @0 :Text;                    # of a node its name, or "replica-0"; not empty; at most 256 bytes, no control characters
  undo @1 :Bool;                      # it shall take work again
  drainSeconds @2 :Float64;           # what has not moved or finished by then is parked; 0 to 86400
}

struct ReloadAsk {
}

struct OrderAnswer {
  status @0 :Ids.Status;              # why it was not done; no control characters
  lines @1 :List(Text);               # what was done or is wrong; at most 256 of at most 512 bytes, no control characters
}

struct ReloadPrepare {
  number @0 :UInt64;                  # of this reload; not 0
  configDigest @1 :Text;              # of the file as the coordinator reads it; at most 256 bytes, no control characters
}

struct ReloadPrepared {
  number @0 :UInt64;                  # as it was asked; not 0
  status @1 :Ids.Status;              # why it cannot be taken; no control characters
  changed @2 :List(Text);             # keys that would take effect there; as OrderAnswer's lines
}

struct ReloadDecision {
  number @0 :UInt64;                  # likewise
  take @1 :Bool;                      # else: forget it
}
