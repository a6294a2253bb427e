@0x8c35f1591f038082;
# ids.capnp: what names what, in every conversation. No messages of its own.
#
# Every message travels in one frame: a 40-byte header (cluster/wire/envelope.h) that carries the cluster epoch and the
# generation of the replica that the message is about, then one Cap'n Proto message as a flat array of words.
# Conventions of all files here:
#   Numbers are for ever. A retired member stays as obsoleteName with its reason; nothing is reused or retyped.
#   Zero means unset: enums start with `unknown @0` and a reader refuses it where a value is needed.
#   Units stand in names. Bounds stand in comments and are checked by the codec (cluster/wire/*_codec.cc), which
#   refuses the whole message when one is passed.

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("herd::schema");

using GatewayId = UInt64;
# One life of a gateway: 64 random bits drawn when its process starts.

using SequenceId = UInt64;
# Between gateway and replica: one token stream of a request, unique within the gateway's life. Between a replica and its
# ranks: the replica's own number for one attempt, unique within its generation.

using ReplicaId = UInt32;
# A set of ranks that holds one full model.

using BlockId = UInt32;
# A KV block of one replica's pool.

using Epoch = UInt64;
# Generation of a replica's membership. A receiver drops and counts what carries another one.

using StepId = UInt64;
# Step of a replica. The first of an epoch is 1; strictly rising.

using TokenId = Int32;
# Index into the vocabulary, [0, 2^31).

struct AttemptKey {
  # What a sequence is called between processes: one replica serves several gateways, each counts for itself.
  gateway @0 :GatewayId;
  sequence @1 :SequenceId;
  attempt @2 :UInt32;               # the first is 0; each replica that takes the sequence gets the next
}

struct Status {
  # How an expected refusal travels. The message is for people: at most 4096 bytes of UTF-8.
  code @0 :StatusCode;
  message @1 :Text;
}

enum StatusCode {
  unknown @0;
  ok @1;
  usage @2;
  badInput @3;
  missing @4;
  overloaded @5;
  aborted @6;
  internal @7;
}
