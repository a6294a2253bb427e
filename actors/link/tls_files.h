#pragma once
// Where a process has its certificate, its key and the cluster's authority: PEM files, as `herd certs` makes them.

#include <string>

namespace herd::link {

struct TlsFiles {
  std::string certificate;  // its own first, then those between it and the authority
  std::string key;
  std::string authority;    // who signed the others' certificates; several while one is replaced
};

}  // namespace herd::link
