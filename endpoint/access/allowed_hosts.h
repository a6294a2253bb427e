#pragma once
// AllowedHosts: whether the host that a request names is this server. A server without keys trusts whoever reaches it,
// and on a loopback address that is meant to be this machine. A web page reaches it too, by making its own name point to
// 127.0.0.1 (DNS rebinding): to the browser the server is then the page's own origin, and CORS says nothing. What the
// page cannot change is the Host header, which names the page. Pure.
//
//   loopback listener       localhost, *.localhost, 127.0.0.0/8, [::1], 0.0.0.0 and [::] (this machine to the clients that
//                           use them), the address listened on, the server's own names, the listed ones
//   any other listener      everything while nothing is listed: who opens it to a network names no names. Else the
//                           same, and every address: only names can be rebound.

#include <string>
#include <string_view>
#include <vector>

#include "kernels/status.h"

namespace herd::access {

class AllowedHosts {
 public:
  // `own`: what the server calls itself (--host). `listed`: hosts, a port is not looked at; "*": any. kUsage: an entry
  // that is no host.
  static Expected<AllowedHosts> make(const std::vector<std::string>& listed, const std::string& own);

  // `host`: of the request, "localhost:8000". `listener`: the address listened on, "127.0.0.1:8000".
  [[nodiscard]] bool allow(std::string_view host, std::string_view listener) const;

 private:
  bool any_ = false;
  std::string own_;
  std::vector<std::string> listed_;  // in lower case, without ports
};

}  // namespace herd::access
