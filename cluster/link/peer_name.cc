#include "cluster/link/peer_name.h"

#include <algorithm>

namespace herd::link {
namespace {

using handshake::Role;

constexpr std::string_view kScheme = "herd:";
constexpr std::size_t kNameBytesMax = 63;
constexpr Role kCertified[] = {Role::kCoordinator, Role::kNode, Role::kGateway, Role::kOperator};

bool is_letter_or_digit(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); }

}  // namespace

Status check_name(std::string_view name) {
  const auto fits = [](char c) { return is_letter_or_digit(c) || c == '.' || c == '-' || c == '_'; };
  if (!name.empty() && name.size() <= kNameBytesMax && is_letter_or_digit(name.front()) && std::ranges::all_of(name, fits)) return {};
  return usage_error("a name has 1 to 63 letters, digits, '.', '-' or '_', a letter or a digit first");
}

std::string certificate_uri(const PeerName& peer) {
  return std::string(kScheme) + handshake::role_name(peer.role) + "/" + peer.name;
}

Expected<PeerName> parse_certificate_uri(std::string_view uri) {
  if (!uri.starts_with(kScheme)) return fail(bad_input("certificate: its URI does not begin with herd:"));
  uri.remove_prefix(kScheme.size());
  const std::size_t slash = std::min(uri.find('/'), uri.size());
  const auto* role = std::ranges::find(kCertified, uri.substr(0, slash), handshake::role_name);
  if (role == std::end(kCertified)) return fail(bad_input("certificate: its URI names no role that has one"));
  const std::string_view name = uri.substr(std::min(slash + 1, uri.size()));
  if (Status status = check_name(name); !status.ok()) return fail(bad_input("certificate: " + status.message()));
  return PeerName{*role, std::string(name)};
}

std::string peer_text(const PeerName& peer) {
  std::string text = handshake::role_name(peer.role);
  if (!peer.name.empty()) text.append(" \"").append(peer.name).append("\"");
  return text;
}

Status check_speaker(const PeerName& certificate, const handshake::Hello& hello) {
  const Role role = hello.role == Role::kRank ? Role::kNode : hello.role;
  if (role == certificate.role && hello.node == certificate.name) return {};
  return bad_input("it calls itself " + peer_text({hello.role, hello.node}) + ", its certificate is that of " +
                   peer_text(certificate));
}

Status check_accepted(const std::vector<PeerName>& accepted, const handshake::Hello& hello) {
  std::string list;
  for (const PeerName& peer : accepted) {
    if (peer.role == hello.role && (peer.name.empty() || peer.name == hello.node)) return {};
    list += (list.empty() ? "" : " or ") + peer_text(peer);
  }
  return bad_input("this process expects " + list + " here");
}

}  // namespace herd::link
