#pragma once
// Hello: what two processes of a cluster tell each other first, and what follows from it. Pure.

#include <cstddef>
#include <cstdint>
#include <string>

#include "kernels/status.h"

namespace herd::handshake {

// Versions of the protocol, [min, max]. A build speaks its own and, for one release, the one before: processes of a cluster are
// replaced one after the other.
struct ProtocolRange {
  std::uint32_t min = 0;
  std::uint32_t max = 0;
};
[[nodiscard]] ProtocolRange own_protocols();  // of this build
inline constexpr std::size_t kHelloTextBytesMax = 256;

enum class Role : std::uint8_t { kCoordinator, kNode, kGateway, kRank, kOperator };
constexpr const char* role_name(Role role) {
  switch (role) {
    case Role::kCoordinator: return "coordinator";
    case Role::kNode: return "node";
    case Role::kGateway: return "gateway";
    case Role::kRank: return "rank";
    case Role::kOperator: return "operator";
  }
  return "?";
}

// Each text has at most 256 bytes and no control characters.
struct Hello {
  std::string cluster;              // its name; not empty
  Role role = Role::kGateway;
  std::string node;                 // who speaks, as the config names it; not empty
  std::uint64_t incarnation = 0;    // this life of the process: 64 random bits, not 0; of a gateway: its GatewayId
  std::uint32_t protocol_min = own_protocols().min;  // at least 1
  std::uint32_t protocol_max = own_protocols().max;
  std::string build_id;             // for people
  std::string model;                // name of the served model; a rank has one
  std::string text_digest;          // tokenizer and chat template; empty: none
  std::string config_digest;        // shown to people when two differ
  bool operator==(const Hello&) const = default;
};

// kBadInput names the field.
[[nodiscard]] Status validate(const Hello& hello);

// What holds between two processes that may talk.
struct Agreement {
  std::uint32_t protocol = 0;       // the lower of the two maxima
  bool equal_config = false;        // false: worth a warning, no more
  bool operator==(const Agreement&) const = default;
};

// Refusals hold both values: a malformed Hello, another cluster, no protocol version that both speak.
[[nodiscard]] Expected<Agreement> agree(const Hello& mine, const Hello& theirs);

}  // namespace herd::handshake
