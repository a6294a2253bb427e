#pragma once
// What `herd certs --output json` prints.

#include <string>

#include "commands/certificate_folder.h"

namespace herd::commands {

[[nodiscard]] std::string certificates_json(const CertificateFolderMade& made);

}  // namespace herd::commands
