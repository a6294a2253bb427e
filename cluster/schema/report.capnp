@0xf8ef36bc02b5e10f;
# report.capnp: what processes say of themselves, and what an operator is shown of all.
#
#   node, gateway                   coordinator
#     ProcessReports          ───>          after its join, then again whenever it changes; replaces what it said before
#   operator                        coordinator
#     StatusAsk               ───>
#                             <───  ClusterStatus    one for each
#
# Lost: anything, when a connection dies; the sender says all of it on the next one, and the operator asks again.

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("herd::schema");
using Control = import "control.capnp";
using Ids = import "ids.capnp";

struct ProcessReports {
  processes @0 :List(ProcessReport);  # that the sender speaks for; each role and name once; at most 4096
}

struct ProcessReport {
  # Texts: at most 256 bytes, lastDeath 512; no control characters.
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
}

struct ReplicaLine {
  replica @0 :Ids.ReplicaId;
  condition @1 :ReplicaCondition;
  node @2 :Text;                      # that holds it; empty: none; at most 256 bytes, no control characters
  epoch @3 :Ids.Epoch;
  why @4 :Text;                       # why it does not serve; at most 512 bytes, no control characters
}

enum ReplicaCondition {
  unknown @0;
  serving @1;
  reforming @2;
  draining @3;
  lost @4;
}
