@0xe7565038b0576778;
# link.capnp: what the two ends of a connection tell each other about the connection itself. Hello comes first (control.capnp).
#
#   either side                     other side
#     Ping                    ───>          every half second, whatever else travels; never answered
#     Goodbye                 ───>          the last message of a side that closes on purpose; in place of Hello: a refusal

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("herd::schema");
using Ids = import "ids.capnp";

struct Ping {
  # That the sender's connection lives.
  obsoleteDone @0 :UInt64;            # these two said how far the sender's work had come; nobody read them
  obsoleteOpen @1 :UInt32;
}

struct Goodbye {
  why @0 :Ids.Status;                 # not ok; its message has at most 1024 bytes
}
