// Any bytes as a Hello, a GatewayJoin, a ClusterView, a ReplicaLoss or quotas: refused, or a value that passes its own checks and
// survives a round trip. The first eight bytes choose which, the rest are the message's words.

#include <cstddef>
#include <cstdint>

#include "cluster/wire/control_codec.h"
#include "tests/fuzz/round_trip.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 8) return 0;
  const herd::wire::Words words = herd::wire::words_of(data, size);
  switch (data[0] % 6) {
    case 0:
      herd::wire::try_decode(words, herd::wire::decode_hello);
      break;
    case 1:
      herd::wire::try_decode(words, herd::wire::decode_gateway_join);
      break;
    case 2:
      herd::wire::try_decode(words, herd::wire::decode_cluster_view);
      break;
    case 3:
      herd::wire::try_decode(words, herd::wire::decode_replica_loss);
      break;
    case 4:
      herd::wire::try_decode(words, herd::wire::decode_quota_demand);
      break;
    default:
      herd::wire::try_decode(words, herd::wire::decode_quota_shares);
  }
  return 0;
}
