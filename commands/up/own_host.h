#pragma once
// OwnHost: which hosts of a cluster's file are this one: by the addresses of its interfaces, its name, or what a name resolves to.

#include <set>
#include <string>
#include <vector>

namespace herd::up {

class OwnHost {
 public:
  // As the machine is now. `named`: hosts that count as this one whatever its addresses are; when there are any, only these do.
  static OwnHost look(std::vector<std::string> named = {});

  // Loopback addresses are every host's own. May ask the resolver.
  [[nodiscard]] bool is(const std::string& host) const;
  // For people: "10.0.0.1, fe80::1".
  [[nodiscard]] std::string addresses_text() const;

 private:
  std::vector<std::string> named_;   // plain
  std::set<std::string> addresses_;  // plain, and the host's name
};

}  // namespace herd::up
