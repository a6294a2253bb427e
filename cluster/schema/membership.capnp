@0xe5e9a01ea9edbc65;
# membership.capnp: which replicas a node holds, and under which generations they serve.
#
#   node                            coordinator
#     NodeJoin                ───>          after Hello; again on each new connection
#                             <───  Assignment       at once when the coordinator knows the cluster, then again whenever it changes
#     PlaceAsk                ───>          a generation is about to be formed
#                             <───  Placed           its epoch
#     Serving                 ───>          it is formed
#     ReplicaLoss             ───>          it is over (control.capnp)
#     GivenUp                 ───>          the replica cannot be had on that node
#     NodeLeaving             ───>          it was told to end: it takes no more replicas, and ends when those it holds have drained
#
# A leader says Serving to its node, which passes it on. An Assignment replaces the one before, and so does a NodeJoin all that its
# node said. Lost: anything, when a connection dies; the next NodeJoin says what serves, and PlaceAsk is asked again. A PlaceAsk
# that is repeated is answered by a later epoch; nodes use the last one. Serving or ReplicaLoss of a generation that is not the
# replica's newest changes nothing.

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("herd::schema");
using Control = import "control.capnp";
using Ids = import "ids.capnp";

struct NodeJoin {
  replicasMax @0 :UInt32;             # whole replicas that it has room for; at most 64
  newest @1 :Ids.Epoch;               # the largest epoch that it has heard of; 0: none
  held @2 :List(UInt32);              # replicas that it has ranks of; rising; at most 64
  serving @3 :List(Control.ReplicaView);  # of these, what serves, or drains as the state says; rising
  # What it keeps for a coordinator that starts again:
  drains @4 :Bool;                    # it was told to drain: nothing is placed there
  drained @5 :List(UInt32);           # replicas that an operator drained, wherever they were; rising; at most 1024
}

struct Assignment {
  replicas @0 :List(UInt32);          # that the node shall hold from here on; rising; at most 64
  draining @1 :List(UInt32);          # of these: they take nothing new, and end when nothing is left; rising
  drainSeconds @2 :Float64;           # or after that long; 0 to 86400
  nodeDrains @3 :Bool;                # an operator drained the node: NodeJoin says so from now on
  drained @4 :List(UInt32);           # what an operator drained, of the whole cluster; rising; at most 1024
}

struct NodeLeaving {
  drainSeconds @0 :Float64;           # 0 to 86400
}

struct PlaceAsk {
  replica @0 :Ids.ReplicaId;
  address @1 :Text;                   # HOST:PORT of its leader; not empty; at most 256 bytes, no control characters
  numericsId @2 :Text;                # likewise
  sequencesMax @3 :UInt32;            # what it takes at one time; at least 1
  modelLenMax @4 :UInt32;             # prompt + emitted tokens of one sequence; 1 to 2^20
}

struct Placed {
  view @0 :Control.ReplicaView;       # with an epoch, address and numerics id; not lost
}

struct Serving {
  view @0 :Control.ReplicaView;       # likewise; draining, or else it serves
}

struct GivenUp {
  replica @0 :Ids.ReplicaId;
  why @1 :Ids.Status;                 # not ok; no control characters
}
