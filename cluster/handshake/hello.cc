#include "cluster/handshake/hello.h"

#include <algorithm>
#include <string_view>

namespace herd::handshake {
namespace {

// What is shown in logs and terminals holds nothing that steers them.
bool has_control_character(std::string_view text) {
  return std::ranges::any_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; });
}

Status check_texts(const Hello& hello) {
  const struct {
    const char* name;
    const std::string& text;
  } fields[] = {{"cluster", hello.cluster},           {"node", hello.node},
                {"build id", hello.build_id},         {"model", hello.model},
                {"text digest", hello.text_digest},   {"config digest", hello.config_digest}};
  for (const auto& [name, text] : fields) {
    if (text.size() > kHelloTextBytesMax) return bad_input(std::string(name) + ": longer than 256 bytes");
    if (has_control_character(text)) return bad_input(std::string(name) + ": holds a control character");
  }
  return {};
}

std::string range(const Hello& hello) {
  return std::to_string(hello.protocol_min) + " to " + std::to_string(hello.protocol_max);
}

}  // namespace

Status validate(const Hello& hello) {
  if (Status status = check_texts(hello); !status.ok()) return status;
  if (hello.cluster.empty()) return bad_input("cluster: no name");
  if (hello.node.empty()) return bad_input("node: no name");
  if (hello.incarnation == 0) return bad_input("incarnation: 0");
  if (hello.protocol_min == 0 || hello.protocol_min > hello.protocol_max)
    return bad_input("protocol versions: " + range(hello) + " is no range that begins at 1 or later");
  if (hello.role == Role::kRank && hello.model.empty()) return bad_input("model: a rank without one");
  return {};
}

Expected<Agreement> agree(const Hello& mine, const Hello& theirs) {
  if (Status status = validate(mine); !status.ok()) return fail(bad_input("our hello: " + status.message()));
  if (Status status = validate(theirs); !status.ok()) return fail(bad_input("their hello: " + status.message()));
  const std::string who = "hello of " + std::string(role_name(theirs.role)) + " \"" + theirs.node + "\": ";
  if (mine.cluster != theirs.cluster)
    return fail(bad_input(who + "it belongs to cluster \"" + theirs.cluster + "\", this process to \"" + mine.cluster + "\""));
  const std::uint32_t protocol = std::min(mine.protocol_max, theirs.protocol_max);
  if (protocol < std::max(mine.protocol_min, theirs.protocol_min))
    return fail(bad_input(who + "it speaks protocol versions " + range(theirs) + ", this process " + range(mine)));
  return Agreement{.protocol = protocol, .equal_config = mine.config_digest == theirs.config_digest};
}

}  // namespace herd::handshake
