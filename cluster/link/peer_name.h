#pragma once
// Who a process of a cluster is: a role and a name, as its certificate says it (URI in the subject's alternative names) and as
// its Hello repeats it. Pure.
//
//   herd:coordinator/NAME   herd:node/NAME   herd:gateway/NAME   herd:operator/NAME
//
// A rank has no certificate of its own: it speaks under that of its node.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cluster/handshake/hello.h"
#include "kernels/status.h"

namespace herd::link {

struct PeerName {
  handshake::Role role = handshake::Role::kNode;
  std::string name;  // where a name is asked for: empty is any
  bool operator==(const PeerName&) const = default;
};

// 1 to 63 letters, digits, '.', '-' or '_', a letter or a digit first: fit for a URI and a file name. kUsage says what is wrong.
[[nodiscard]] Status check_name(std::string_view name);

[[nodiscard]] std::string certificate_uri(const PeerName& peer);
// kBadInput: not such a URI, a role that has no certificate, or no such name.
[[nodiscard]] Expected<PeerName> parse_certificate_uri(std::string_view uri);

// "node \"a\"", for people.
[[nodiscard]] std::string peer_text(const PeerName& peer);

// The Hello is one that the holder of this certificate may say. The refusal holds both names.
[[nodiscard]] Status check_speaker(const PeerName& certificate, const handshake::Hello& hello);
// The Hello comes from one of those.
[[nodiscard]] Status check_accepted(const std::vector<PeerName>& accepted, const handshake::Hello& hello);

}  // namespace herd::link
