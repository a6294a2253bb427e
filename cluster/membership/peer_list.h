#pragma once
// PeerList: who is connected to the coordinator, and whether it may be. Pure.
//
// A name is had once within a role: another process under the name of one that is there is refused, and comes in when the first has
// gone, or has been silent for long enough to be cut. The same process may connect again; its older connection is to leave first.
//
// Nodes and gateways turn text into tokens and back by the same rules, or clients would read what no model wrote: the first that
// says its text digest sets it for all others, until nobody who said one is left.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "cluster/handshake/hello.h"
#include "kernels/status.h"
#include "runtime/ids.h"

namespace herd::membership {

// A connection to the coordinator, as its shell numbers them; never used again. Not 0.
using PeerId = StrongId<struct PeerIdTag, std::uint64_t>;

// For people: node "a".
[[nodiscard]] std::string called(handshake::Role role, const std::string& name);

struct Peer {
  handshake::Role role = handshake::Role::kNode;
  std::string name;
  std::uint64_t incarnation = 0;
  std::string text_digest;
};

class PeerList {
 public:
  // Who is known by name: unlisted ones are refused. nullopt: whoever has a certificate.
  PeerList(std::optional<std::vector<std::string>> nodes, std::vector<std::string> gateways)
      : nodes_(std::move(nodes)), gateways_(std::move(gateways)) {}

  // Who is known by name is another list now; whoever is in stays in.
  void set_listed(std::optional<std::vector<std::string>> nodes, std::vector<std::string> gateways);
  // kBadInput says why it is refused, with both values where two differ. Else it is in the list.
  [[nodiscard]] Status admit(PeerId peer, const handshake::Hello& hello);
  // The connection that the same process has already.
  [[nodiscard]] std::optional<PeerId> older_of(const handshake::Hello& hello) const;
  // Null when it is not, or no longer, in the list.
  [[nodiscard]] const Peer* find(PeerId peer) const;
  void remove(PeerId peer) { peers_.erase(peer); }
  // The connection of that name.
  [[nodiscard]] std::optional<PeerId> find(handshake::Role role, const std::string& name) const;

 private:
  [[nodiscard]] Status check_listed(const handshake::Hello& hello) const;
  [[nodiscard]] Status check_text(const handshake::Hello& hello) const;

  std::optional<std::vector<std::string>> nodes_;
  std::vector<std::string> gateways_;
  std::map<PeerId, Peer> peers_;
};

}  // namespace herd::membership
