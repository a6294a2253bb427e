@0xb3c1f0a94d27e685;
# rank.capnp: what a process is told that shall be one rank of a replica. Never retried: who starts the process sends it once, and
# starts another one when this one ends.

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("herd::schema");
using Ids = import "ids.capnp";

struct RankSpec {
  replica @0 :Ids.ReplicaId;
  rank @1 :UInt32;                    # below ranks
  ranks @2 :UInt32;                   # 1, 2, 4 or 8; the shard follows from both
  modelPath @3 :Text;                 # of the rank's machine; not empty; at most 4096 bytes, no control characters
  weightPath @4 :Text;                # likewise; may be empty
  layers @5 :UInt32;                  # only the first so many; 0: all; at most 65536
  randomWeights @6 :Bool;
  randomSeed @7 :UInt64;
  weights @8 :Encoding;               # computed in
  device :union {
    cpu @9 :CpuDevice;
    gpu @10 :GpuDevice;
  }
  blockSize @11 :UInt32;              # tokens; a power of two in [16, 512]
  blocks @12 :UInt32;                 # of the KV pool; at least 1
  positionsMax @13 :UInt32;           # of a sequence; 1 to 2^20
  rowsMax @14 :UInt32;                # of a step; 1 to 2^20
  sequencesMax @15 :UInt32;           # of a step; 1 to 65536
  stepTimeoutMs @16 :UInt32;          # of a step, of every collective in it, and of joining a group; at least 1
  hashLogits @17 :Bool;
}

struct CpuDevice {
  isa @0 :CpuIsa;
  threads @1 :UInt32;                 # 1 to 4096
  nice @2 :UInt32;                    # at most 19
}

struct GpuDevice {
  index @0 :UInt32;                   # at most 4095
  matmul @1 :GpuMatmul;
  graphs @2 :Bool;
}

enum Encoding {
  unknown @0;
  float32 @1;
  bfloat16 @2;
  float16 @3;
  q80 @4;
  q40 @5;
  q41 @6;
  q50 @7;
  q51 @8;
  q6K @9;
  q4K @10;
  q5K @11;
}

enum CpuIsa {
  unknown @0;
  best @1;                            # that the CPU has
  reference @2;
  avx2 @3;
  avx512 @4;
  avx512Bf16 @5;
  avx512Vnni @6;
}

enum GpuMatmul {
  unknown @0;
  ordered @1;
  cublasLt @2;
}
