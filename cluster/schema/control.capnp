@0xd8a99f8d059f588b;
# control.capnp: how two processes of a cluster meet.
#
# Hello is the first frame in both directions of every connection; nothing else is read before it. It is not retried:
# a mismatch closes the connection with a Status that holds both values, and the supervisor decides what comes next.

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("herd::schema");

struct Hello {
  protocolVersion @0 :UInt32;         # of the sender, at least 1. Additive change: same number. Change of meaning: a new
                                      # number, and both are understood for one release.
  buildId @1 :Text;                   # for people; at most 256 bytes
  model @2 :Text;                     # name of the served model; at most 256 bytes
  numericsId @3 :Text;                # who may continue whose streams: equal ids only; at most 256 bytes
}
