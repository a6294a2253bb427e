#include "commands/certs_json.h"

#include <boost/json.hpp>

namespace herd::commands {

std::string certificates_json(const CertificateFolderMade& made) {
  boost::json::array certificates;
  for (const CertificateFiles& files : made.certificates)
    certificates.push_back(boost::json::object{{"role", handshake::role_name(files.peer.role)},
                                               {"name", files.peer.name},
                                               {"certificate", files.certificate},
                                               {"key", files.key}});
  return boost::json::serialize(boost::json::object{
      {"authority", {{"certificate", made.authority}, {"key", made.authority_key}, {"made", made.authority_made}}},
      {"certificates", std::move(certificates)}});
}

}  // namespace herd::commands
