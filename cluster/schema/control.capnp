@0xd8a99f8d059f588b;
# control.capnp: how two processes of a cluster meet, and what gateways are told about replicas.
#
#   either side                     other side
#     Hello                   ───>
#                             <───  Hello
#   gateway                         coordinator
#     GatewayJoin             ───>          after Hello; again on each new connection
#                             <───  ClusterView      the whole view at once, then again whenever it changes
#                             <───  ReplicaLoss      from the replica too, when somebody is left there to say so
#     QuotaDemand             ───>          several times a second while something is asked of it
#                             <───  QuotaShares      the answer to each, and when others changed what it may let through
#
# Hello is the first frame in both directions of every connection; nothing else is read before it. It is not retried:
# a refusal (cluster/handshake/hello.h) closes the connection with a Status that holds both values, and the supervisor
# decides what comes next.
# A view replaces the one before; one that is not newer is dropped. Lost: anything, when a connection dies; the next
# GatewayJoin is answered by the view of that moment, in which a loss that was missed shows as a later generation or as
# the state `lost`. A repeated loss changes nothing. QuotaShares replace the ones before; a gateway without a coordinator keeps
# the last it has for a while, and then takes its part of all gateways of each limit.

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("herd::schema");
using Ids = import "ids.capnp";

struct Hello {
  # Every text: at most 256 bytes, no control characters.
  cluster @0 :Text;                   # name of the cluster; not empty; another name is refused
  role @1 :Role;
  node @2 :Text;                      # name of the machine or of the process's place in the config; not empty
  incarnation @3 :UInt64;             # this life of the process: 64 random bits, not 0; of a gateway: its id
  # Versions that the sender speaks, [min, max], min at least 1. The lower of the two maxima is spoken. An additive change
  # keeps the number; a change of meaning takes a new one (cluster/wire/spoken.h), and both are understood for one release.
  protocolMin @4 :UInt32;
  protocolMax @5 :UInt32;
  buildId @6 :Text;                   # for people
  model @7 :Text;                     # name of the served model; a rank has one
  # Nobody ever set these two: which bits a replica makes stands in its routes.
  obsoleteNumericsId @8 :Text;
  obsoleteKvLayoutId @9 :Text;
  textDigest @10 :Text;               # tokenizer and chat template; empty: none
  configDigest @11 :Text;             # shown to people when two differ
}

enum Role {
  unknown @0;
  coordinator @1;
  node @2;
  gateway @3;
  rank @4;
  operator @5;                        # a person's command, such as `herd status`
}

struct GatewayJoin {
  gateway @0 :Ids.GatewayId;
  # The newest view it has, so that a coordinator that starts again begins beyond it; 0, 0: none.
  clusterEpoch @1 :Ids.Epoch;
  viewNumber @2 :UInt64;
}

struct ClusterView {
  clusterEpoch @0 :Ids.Epoch;         # of the coordinator that made it
  number @1 :UInt64;                  # rises within an epoch
  replicas @2 :List(ReplicaView);     # rising ids, each once; at most 1024
}

struct ReplicaView {
  replica @0 :Ids.ReplicaId;
  epoch @1 :Ids.Epoch;
  address @2 :Text;                   # of its leader; at most 256 bytes, no control characters
  numericsId @3 :Text;                # which bits it makes; at most 256 bytes, no control characters
  state @4 :ReplicaState;
  returns @5 :Bool;                   # lost: it comes back under a later generation
  sequencesMax @6 :UInt32;            # what it takes at one time; at least 1
  modelLenMax @7 :UInt32;             # prompt + emitted tokens of one sequence; at most 2^20; 0: not known
}

enum ReplicaState {
  unknown @0;
  making @1;
  serving @2;
  draining @3;
  lost @4;
}

struct ReplicaLoss {
  replica @0 :Ids.ReplicaId;
  epoch @1 :Ids.Epoch;
  cause @2 :LossCause;
  why @3 :Ids.Status;                 # not ok
  inStep @4 :List(AttemptInStep);     # in steps that were under way; null: nobody is left to say; at most 65536
  blamed @5 :List(UInt32);            # ranks, rising; at most 1024; empty: none more than another
  # What the ranks that died of themselves were working on; only of diedOfItself, and among inStep where that is told; rising;
  # at most 1024; empty: nobody knows.
  atWork @6 :List(Ids.AttemptKey);
}

struct AttemptInStep {
  attempt @0 :Ids.AttemptKey;
  emitted @1 :UInt32;                 # tokens after that step, those that it began with included
}

enum LossCause {
  unknown @0;
  killed @1;                          # from outside, or nobody knows
  diedOfItself @2;                    # what it computed may have been fatal
  overdue @3;                         # a rank hung, a step took too long
  tokensDiffer @4;                    # its ranks sampled different tokens
  stopped @5;                         # on purpose
}

struct QuotaDemand {
  seconds @0 :Float64;                # since the sender's last one; above 0, at most 3600
  tenants @1 :List(TenantDemand);     # rising, each once; at most 4096
  number @2 :UInt64;                  # rising on a connection; not 0
  runningMax @3 :UInt32;              # sequences that all gateways may have running, as the sender's file says; at least 1
}

struct BucketDemand {
  asked @0 :Float64;                  # since the last one, let through or not: finite, not negative
  held @1 :Float64;                   # what the bucket has; finite; negative: more was used than there was
}

struct TenantDemand {
  tenant @0 :UInt64;                  # the same on every gateway
  requests @1 :BucketDemand;          # null: nothing was asked
  promptTokens @2 :BucketDemand;
  outputTokens @3 :BucketDemand;
  inFlight @4 :UInt32;                # requests that wait or run there now
  inFlightRefused @5 :UInt32;         # since the last one
  inFlightMax @6 :UInt32;             # of the key, as that gateway's file says; 0: no limit
  sequences @7 :UInt32;               # of the requests in flight: they have a place on a replica, or want one
  weight @8 :Float64;                 # of the key, as that gateway's file says; finite, above 0
}

struct QuotaShares {
  # Shares: 0 to 1.
  gateways @0 :UInt32;                # that share; at least 1
  running @1 :Float64;                # of the sequences that all gateways together may have running
  tenants @2 :List(TenantShare);      # rising, each once; at most 4096; who is not named has 1 / gateways of each limit
  number @3 :UInt64;                  # of the demand that is answered; 0: none, and then nothing is moved
}

struct BucketShare {
  share @0 :Float64;                  # of the limit per minute
  moved @1 :Float64;                  # to be added to what the bucket has; finite
}

struct TenantShare {
  tenant @0 :UInt64;
  requests @1 :BucketShare;           # null: nothing of it
  promptTokens @2 :BucketShare;
  outputTokens @3 :BucketShare;
  inFlight @4 :Float64;               # of the requests in flight
  weight @5 :Float64;                 # of the key's weight
}
