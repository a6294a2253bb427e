#pragma once
// The one table of what a cluster file may say: each key with its rule, its words for people, the flag of `herd serve` that it is,
// and where its value lies in a ClusterSpec. The reader of the file, its JSON Schema, the flags of a process that a cluster starts
// and the list of effective settings all follow from it.

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "cluster/config/cluster_spec.h"

namespace herd::config {

enum class ValueKind : std::uint8_t {
  kText,        // not empty, no control characters
  kPath,        // a file or folder; a relative one begins at the cluster file
  kName,        // of a process or cluster: a DNS label or several
  kChoice,      // one of `choices`
  kInteger,     // within [min, max], or one of `choices`
  kCountOrWord, // a whole number within [min, max], or one of `choices`: a text either way
  kNumber,      // within (min, max]
  kSwitch,      // true or false
  kBytes,       // "64GiB", within [min, max]
  kDuration,    // "600s", within [min, max] seconds
  kAddress,     // "HOST:PORT"
  kHost,        // an IP address in full, or a DNS name
  kUrl,         // "http://HOST:PORT/PATH"; port and path may be left out
  kCpuSet,      // "0-7,16"
  kTexts,       // a list of texts
  kDevices,     // a list of "cpu" or "gpu-N"
  kLabels,      // names with texts
};

struct ValueRule {
  ValueKind kind = ValueKind::kText;
  double min = 0;
  double max = 0;
  std::vector<std::string_view> choices = {};
};

// Who takes another value of a key while it runs (`herd reload`, SIGHUP). Nobody: what reads it has to be started again for it.
enum class TakenBy : std::uint8_t { kNobody, kGateways, kNodes, kGatewaysAndNodes, kEverybody };

struct Setting {
  std::string_view name;  // the key's last part; of a flag's first spelling: max_num_seqs for --max-num-seqs
  std::string_view flag;  // of `herd serve`; empty: only a cluster has it. A switch whose flag begins with --no- or --disable- says
                          // the opposite, and its key is named without that beginning
  std::string_view help;
  ValueRule rule;
  bool required = false;
  TakenBy taken_by = TakenBy::kNobody;
};

// Where a value lies.
using Slot = std::variant<std::string*, std::int64_t*, double*, bool*, std::vector<std::string>*,
                          std::map<std::string, std::string>*>;

template <class Owner>
struct Field {
  Setting setting;
  Slot (*slot)(Owner&);
};

// A part of the file: its keys stand below its name. The first section has no name: its keys stand at the left margin.
struct Section {
  std::string_view name;
  std::string_view help;
  std::vector<Field<ClusterSpec>> fields;
  bool required = false;  // else its own required keys are demanded only where it stands
};

[[nodiscard]] const std::vector<Section>& sections();
[[nodiscard]] const std::vector<Field<CoordinatorSpec>>& coordinator_fields();
[[nodiscard]] const std::vector<Field<GatewaySpec>>& gateway_fields();
[[nodiscard]] const std::vector<Field<NodeSpec>>& node_fields();

// The lists beside the sections.
inline constexpr std::string_view kCoordinatorsHelp = "The coordinator: membership, placement, epochs. One for now.";
inline constexpr std::string_view kGatewaysHelp = "Where clients connect: each serves the whole OpenAI API.";
inline constexpr std::string_view kNodesHelp =
    "The machines that compute; or any-with-certificate: every node that the cluster's CA vouches for may join.";
inline constexpr std::string_view kAnyNode = "any-with-certificate";

inline constexpr std::size_t kListMax = 256;       // entries of any list, labels of a node
inline constexpr std::size_t kTextBytesMax = 1024;  // of any value

// What a text has to look like, as an ECMA-262 expression for editors; empty: anything without control characters. The reader
// judges the same without one.
[[nodiscard]] std::string_view pattern_of(ValueKind kind);

// A setting's words for people, with what its kind has to say, and that it may change while the cluster runs.
[[nodiscard]] std::string help_text(const Setting& setting);

// Puts every relative path of the file into `folder`, where the file lies.
void begin_paths_at(const std::string& folder, ClusterSpec& spec);

// A value as the file says it; empty: not given. Labels have no such text.
[[nodiscard]] std::string value_text(const Setting& setting, const Slot& slot);

// A setting with its whole key and its value as a file would say it; a value that was not given is empty.
struct EffectiveSetting {
  std::string key;  // "scheduler.max_num_seqs"
  std::string value;
  bool is_default = true;
};
// Of all sections; the lists of processes are not among them.
[[nodiscard]] std::vector<EffectiveSetting> effective_settings(const ClusterSpec& spec);

// A name for what they say, for processes of a cluster that each read a file: paths are left out, which differ between machines.
// 32 hexadecimal digits.
[[nodiscard]] std::string settings_digest(const ClusterSpec& spec);

// Words of a part that knows flags, for someone who wrote a file: "--max-model-len" → "scheduler.max_model_len".
[[nodiscard]] std::string flags_as_keys(std::string text);

// What the file says as flags of `herd serve`, "--name=value" each, and what it says of the gateway when that is not null. A node's own
// settings become no flags: its ranks get them in their RankSpecs.
[[nodiscard]] std::vector<std::string> serve_flags_of(const ClusterSpec& spec, const GatewaySpec* gateway);

}  // namespace herd::config
