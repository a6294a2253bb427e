#include "cluster/membership/peer_list.h"

#include <algorithm>
#include <utility>

namespace herd::membership {
namespace {

using handshake::Role;

bool holds(const std::vector<std::string>& names, const std::string& name) { return std::ranges::find(names, name) != names.end(); }

}  // namespace

std::string called(Role role, const std::string& name) { return std::string(handshake::role_name(role)) + " \"" + name + "\""; }

void PeerList::set_listed(std::optional<std::vector<std::string>> nodes, std::vector<std::string> gateways) {
  nodes_ = std::move(nodes);
  gateways_ = std::move(gateways);
}

Status PeerList::admit(PeerId peer, const handshake::Hello& hello) {
  // Several operators may ask at a time, and no text passes through them.
  if (hello.role != Role::kOperator) {
    if (Status status = check_listed(hello); !status.ok()) return status;
    if (find(hello.role, hello.node))
      return bad_input(called(hello.role, hello.node) + " is here already, as another process: a name is that of one");
    if (Status status = check_text(hello); !status.ok()) return status;
  }
  peers_[peer] = {hello.role, hello.node, hello.incarnation, hello.text_digest};
  return {};
}

std::optional<PeerId> PeerList::older_of(const handshake::Hello& hello) const {
  const auto there = find(hello.role, hello.node);
  return there && hello.role != Role::kOperator && find(*there)->incarnation == hello.incarnation ? there : std::nullopt;
}

const Peer* PeerList::find(PeerId peer) const {
  const auto found = peers_.find(peer);
  return found == peers_.end() ? nullptr : &found->second;
}

std::optional<PeerId> PeerList::find(Role role, const std::string& name) const {
  for (const auto& [peer, known] : peers_)
    if (known.role == role && known.name == name) return peer;
  return std::nullopt;
}

Status PeerList::check_listed(const handshake::Hello& hello) const {
  if (hello.role == Role::kNode && nodes_ && !holds(*nodes_, hello.node))
    return bad_input(called(hello.role, hello.node) +
                     " is not in the coordinator's cluster file; add it under nodes, or set nodes: any-with-certificate");
  if (hello.role == Role::kGateway && !holds(gateways_, hello.node))
    return bad_input(called(hello.role, hello.node) + " is not in the coordinator's cluster file; add it under gateways");
  return {};
}

Status PeerList::check_text(const handshake::Hello& hello) const {
  if (hello.text_digest.empty()) return {};
  for (const auto& [peer, known] : peers_) {
    if (known.text_digest.empty() || known.text_digest == hello.text_digest) continue;
    return bad_input(called(hello.role, hello.node) + " has tokenizer and chat template " + hello.text_digest + ", " +
                     called(known.role, known.name) + " has " + known.text_digest +
                     ": give both the same tokenizer files and chat settings");
  }
  return {};
}

}  // namespace herd::membership
