// herd certs: the certificates of a cluster, and who gets which.

#include <memory>

#include <CLI/CLI.hpp>

#include "commands/certificate_folder.h"
#include "commands/certs_json.h"
#include "commands/command_line.h"
#include "commands/standard_output.h"

namespace herd::commands {
namespace {

struct CertsFlags {
  CertificateOrder order;
  std::string output = "text";
};

void print_text(const CertificateFolderMade& made) {
  print("authority %s (%s)\n", made.authority.c_str(), made.authority_made ? "made" : "was there");
  if (made.certificates.empty()) return print("no certificate was missing\n");
  print("Copy to the machine of each process; only its user may read the key:\n");
  for (const CertificateFiles& files : made.certificates)
    print("  %-24s %s %s %s\n", link::peer_text(files.peer).c_str(), files.certificate.c_str(), files.key.c_str(),
          made.authority.c_str());
  print("Keep %s off all of them: whoever has it can be any process of the cluster.\n", made.authority_key.c_str());
}

Status certs(const CertsFlags& flags) {
  if (flags.output != "text" && flags.output != "json")
    return usage_error("--output must be text or json, not " + flags.output);
  const auto made = make_certificate_folder(flags.order);
  if (!made) return made.error();
  if (flags.output == "json") {
    print_bytes(certificates_json(*made) + "\n");
  } else {
    print_text(*made);
  }
  return {};
}

}  // namespace

void add_certs(CLI::App& app, int* exit_code) {
  auto flags = std::make_shared<CertsFlags>();
  CLI::App* command = app.add_subcommand(
      "certs", "Make the certificates of a cluster: an authority, and one for coordinator, operator, each node and gateway. "
               "In a folder that has an authority, more that it signs");
  command->add_option("folder", flags->order.folder, "Where to; made when missing. No file in it is overwritten")->required();
  command->add_option("--cluster", flags->order.cluster, "Name of the cluster, shown in the authority's certificate")
      ->capture_default_str();
  command->add_option("--nodes", flags->order.nodes, "Names of nodes, as the cluster's file has them: a,b")->delimiter(',');
  command->add_option("--gateways", flags->order.gateways, "How many (gateway-1, gateway-2, …), or their names: east,west")
      ->capture_default_str();
  command->add_option("--days", flags->order.days, "How long the certificates are good; the authority at least ten years")
      ->capture_default_str();
  command->add_option("--output", flags->output, "text or json");
  command->callback([flags, exit_code] { *exit_code = report(certs(*flags)); });
}

}  // namespace herd::commands
