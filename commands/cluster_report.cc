#include "commands/cluster_report.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <utility>

#include "actors/ranks/model_source.h"
#include "cluster/config/setting_table.h"
#include "cluster/config/yaml_tree.h"
#include "cluster/placement/replica_plan.h"
#include "cluster/routing/prefix_directory.h"
#include "commands/cluster_options.h"
#include "runtime/checkpoint/open_model.h"
#include "runtime/files/file_bytes.h"

namespace herd::commands {
namespace {

std::string counted(std::size_t count, const std::string& one) { return std::to_string(count) + " " + one + (count == 1 ? "" : "s"); }

// The model where it lies on this machine.
struct ModelHere {
  model::OpenedModel opened;
  std::vector<std::string> notes;
};

// Where the file says it lies on every machine, else where it lies on the first node whose own place is here too. Its errors are
// open_model()'s of the first place.
Expected<ModelHere> open_here(const config::ClusterSpec& spec, model::ModelFiles files, const std::string& encoding) {
  auto opened = model::open_model(files, encoding);
  if (opened) return ModelHere{std::move(*opened), {}};
  if (opened.error().code() != StatusCode::kMissing) return fail(opened.error());
  for (const config::NodeSpec& node : spec.nodes) {
    files.path = node.model_path;
    if (files.path.empty()) continue;
    auto own = model::open_model(files, encoding);
    if (own)
      return ModelHere{std::move(*own), {"sizes are of the model of " + node.name + ", " + node.model_path +
                                         "; model.model_path cannot be read on this machine: " + opened.error().message()}};
  }
  return fail(opened.error());
}

// Everything about the report that needs the model.
class ModelSizes {
 public:
  // kUsage: a setting that does not fit the model.
  static Expected<ModelSizes> read(const actors::EngineOptions& options, const ModelHere& here) {
    auto cut = placement::cut_model(here.opened.config(), options.tensor_parallel,
                                    {here.opened.own_encoding(), here.opened.is_gguf(), options.encoding, false});
    if (!cut) return fail(cut.error());
    cut->model.encoding = actors::encoding_of(here.opened, cut->model.encoding.weights);
    ModelSizes sizes;
    sizes.sharded_ = std::move(cut->model);
    sizes.wishes_ = actors::wishes_of(options);
    sizes.notes_ = here.notes;
    sizes.notes_.insert(sizes.notes_.end(), cut->notes.begin(), cut->notes.end());
    auto ranks = placement::rank_memories(sizes.sharded_, sizes.wishes_);
    if (!ranks) return fail(ranks.error());
    sizes.model_.ranks = std::move(*ranks);
    sizes.model_.encoding = sizes.sharded_.encoding.name();
    for (std::size_t rank = 0; rank < sizes.sharded_.shards.size(); ++rank)
      sizes.model_.block_bytes.push_back(sizes.sharded_.block_bytes(rank, sizes.wishes_.block_size));
    return std::move(sizes).with_chosen_blocks();
  }

  [[nodiscard]] const ReportedModel& model() const { return model_; }
  [[nodiscard]] const std::vector<std::string>& notes() const { return notes_; }

  // Of each rank, with the KV cache that was asked for.
  [[nodiscard]] std::vector<std::int64_t> rank_bytes() const {
    std::vector<std::int64_t> bytes;
    for (std::size_t rank = 0; rank < model_.ranks.size(); ++rank)
      bytes.push_back(model_.ranks[rank].total() + chosen_blocks_ * model_.block_bytes[rank]);
    return bytes;
  }

  // Of the replicas on one node, all alike; `memory`: of the node, 0: not said. Nothing: decided when ranks start.
  [[nodiscard]] Expected<std::optional<ReportedKv>> kv(std::int64_t memory, bool on_gpus, int replicas) const {
    placement::ReplicaWishes wishes = wishes_;
    wishes.data_parallel = replicas;
    if (on_gpus) memory = 0;  // a GPU's KV cache takes none of the node's
    if (placement::memory_decides(wishes) && memory == 0) return std::nullopt;
    placement::DeviceMemory free;
    free.free_bytes = memory;
    for (const model::RankMemory& rank : model_.ranks) free.free_bytes -= rank.total() * replicas;
    free.free_bytes = std::max<std::int64_t>(0, free.free_bytes);
    const auto plan = placement::plan_replicas(sharded_, wishes, free, placement::StepSpeed::kCpu);
    if (!plan) return fail(plan.error());
    return ReportedKv{plan->rank.blocks, plan->rank.positions_max};
  }

 private:
  // What the file itself says of lengths and blocks is judged without a node: where memory decides, as if it were enough.
  Expected<ModelSizes> with_chosen_blocks() && {
    placement::ReplicaWishes wishes = wishes_;
    const bool later = placement::memory_decides(wishes);
    if (later) wishes.num_blocks = wishes.max_model_len + 1;  // a block a token and more
    const auto plan = placement::plan_replicas(sharded_, wishes, {}, placement::StepSpeed::kCpu);
    if (!plan) return fail(usage_error(plan.error().message()));
    if (!later) chosen_blocks_ = plan->rank.blocks;
    return std::move(*this);
  }

  placement::ShardedModel sharded_;
  placement::ReplicaWishes wishes_;
  std::int64_t chosen_blocks_ = 0;  // of a replica; 0: memory decides
  ReportedModel model_;
  std::vector<std::string> notes_;
};

bool is_of_key(char letter) { return letter == '_' || (letter >= 'a' && letter <= 'z') || (letter >= '0' && letter <= '9'); }

// Where a key stands by itself in words.
std::size_t find_key(const std::string& words, const std::string& key) {
  for (std::size_t at = words.find(key); at != std::string::npos; at = words.find(key, at + 1)) {
    const std::size_t end = at + key.size();
    if ((at == 0 || !is_of_key(words[at - 1])) && (end == words.size() || !is_of_key(words[end]))) return at;
  }
  return std::string::npos;
}

void add_problem(ClusterReport& report, const std::string& key, const std::string& what) {
  const auto line = report.parsed.lines.find(key);
  report.parsed.problems.push_back({line == report.parsed.lines.end() ? 0 : line->second, key, config::flags_as_keys(what)});
}

// A setting that does not fit: at the key that the words name first of those that the file has, else at `section`.
void add_usage_problem(ClusterReport& report, const std::string& section, const std::string& what) {
  std::string words = config::flags_as_keys(what);
  std::string named;
  std::size_t first = std::string::npos;
  for (const auto& [key, line] : report.parsed.lines) {
    if (key.find('.') == std::string::npos) continue;  // a section's name is an ordinary word
    const std::size_t at = find_key(words, key);
    if (at < first) {
      first = at;
      named = key;
    }
  }
  if (first == 0 && words.size() > named.size() + 1) words.erase(0, named.size() + 1);  // the key stands before the words already
  add_problem(report, named.empty() ? section : named, words);
}

// The KV cache of every replica; a node with too little memory for one block is a problem of that node.
void size_kv_of_replicas(const ModelSizes& sizes, ClusterReport& report) {
  const auto& nodes = report.parsed.spec.nodes;
  for (const placement::PlacedReplica& replica : report.plan.replicas) {
    const auto beside_it = std::ranges::count(report.plan.replicas, replica.node, &placement::PlacedReplica::node);
    const config::NodeSpec& node = nodes[replica.node];
    auto kv = sizes.kv(node.memory, placement::is_gpu(node.devices.front()), static_cast<int>(beside_it));
    if (!kv) return add_problem(report, "nodes[" + std::to_string(replica.node) + "]", node.name + ": " + kv.error().message());
    report.kv.push_back(*kv);
  }
}

// `sizes`: null when the model is not on this machine.
void place_and_size(const ModelSizes* sizes, ClusterReport& report) {
  std::vector<std::int64_t> rank_bytes;
  if (sizes != nullptr) {
    report.model = sizes->model();
    report.notes = sizes->notes();
    rank_bytes = sizes->rank_bytes();
  }
  auto plan = placement::plan_cluster(report.parsed.spec, rank_bytes);
  if (!plan) return add_problem(report, "nodes", plan.error().message());
  report.plan = std::move(*plan);
  report.notes.insert(report.notes.end(), report.plan.notes.begin(), report.plan.notes.end());
  if (sizes != nullptr) size_kv_of_replicas(*sizes, report);
}

// What is wrong with the model's files or does not fit them becomes a problem of the report. Only our own faults are errors.
Status judge(ClusterReport& report) {
  const auto options = options_of(report.parsed.spec);
  if (!options && options.error().code() != StatusCode::kUsage) return options.error();
  if (!options) {
    add_usage_problem(report, "model", options.error().message());
    return {};
  }
  const auto here = open_here(report.parsed.spec, options->engine.model, options->engine.encoding);
  if (!here && here.error().code() == StatusCode::kMissing) {
    report.model_unreadable = here.error().message();
    report.notes.push_back("the model cannot be read on this machine, so whether settings and memory fit it was not checked: " +
                           report.model_unreadable);
    place_and_size(nullptr, report);
    return {};
  }
  if (!here && here.error().code() == StatusCode::kInternal) return here.error();
  if (!here) {
    if (here.error().code() == StatusCode::kUsage) add_usage_problem(report, "model", here.error().message());
    else add_problem(report, "model.model_path", here.error().message());
    return {};
  }
  const auto sizes = ModelSizes::read(options->engine, *here);
  if (sizes) place_and_size(&*sizes, report);
  else add_usage_problem(report, "model", sizes.error().message());
  return {};
}

std::string size(std::int64_t bytes) { return placement::gigabytes(static_cast<double>(bytes)); }

void append_rank(const ClusterReport& report, const placement::PlacedReplica& replica, const placement::PlacedRank& rank,
                 std::string& text) {
  const config::NodeSpec& node = report.parsed.spec.nodes[replica.node];
  text += "  rank " + std::to_string(rank.rank) + " of replica " + std::to_string(replica.replica.value) + " on " +
          node.devices[rank.device];
  if (rank.threads > 0) text += " (" + counted(static_cast<std::size_t>(rank.threads), "thread") + ")";
  if (report.model) {
    const model::RankMemory& memory = report.model->ranks[rank.rank];
    text += ": weights " + size(memory.weights);
    // A GPU's buffers are measured when they are there.
    if (!placement::is_gpu(node.devices[rank.device]))
      text += ", step buffers " + size(memory.step_buffers) + ", RoPE table " + size(memory.rope_table);
    text += ", KV cache ";
    const auto& kv = report.kv[replica.replica.value];
    text += kv ? size(kv->num_blocks * report.model->block_bytes[rank.rank]) + " (" + std::to_string(kv->num_blocks) + " blocks)"
               : "from what is free when it starts";
  }
  text += "\n";
}

void append_nodes(const ClusterReport& report, std::string& text) {
  const auto& nodes = report.parsed.spec.nodes;
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    text += "node " + nodes[i].name + " at " + nodes[i].address + ", " + counted(nodes[i].devices.size(), "device");
    if (nodes[i].memory > 0) text += ", memory " + size(nodes[i].memory);
    if (!nodes[i].model_path.empty()) text += ", model " + nodes[i].model_path;
    text += "\n";
    for (const placement::PlacedReplica& replica : report.plan.replicas)
      if (replica.node == i)
        for (const placement::PlacedRank& rank : replica.ranks) append_rank(report, replica, rank, text);
  }
}

void append_settings(const ClusterReport& report, std::string& text) {
  text += "settings that are not the default:\n";
  for (const config::EffectiveSetting& setting : config::effective_settings(report.parsed.spec))
    if (!setting.is_default) text += "  " + setting.key + ": " + setting.value + "\n";
}

}  // namespace

std::optional<std::size_t> directory_bytes(const ClusterReport& report) {
  if (!report.parsed.spec.kv.enable_prefix_caching || report.kv.empty()) return std::nullopt;
  std::size_t blocks = 0;
  for (const auto& kv : report.kv) {
    if (!kv) return std::nullopt;
    blocks += static_cast<std::size_t>(kv->num_blocks);
  }
  return routing::PrefixDirectory::bytes_for(blocks);
}

std::string directory_text(const ClusterReport& report) {
  const auto bytes = directory_bytes(report);
  if (!bytes) return {};
  return "prefix directory of each gateway: at most " + std::to_string(*bytes) + " bytes, " +
         std::to_string(routing::PrefixDirectory::kBytesPerBlock) + " for each KV block of the replicas";
}

bool is_cluster_file(const std::string& path) { return path.ends_with(".yaml") || path.ends_with(".yml"); }

Expected<ClusterReport> report_cluster(const std::string& path) {
  const auto text = files::read_text_file(path, config::kFileBytesMax);
  if (!text) return fail(text.error());
  ClusterReport report;
  report.file = path;
  report.parsed = config::parse_cluster_file(*text);
  if (!report.parsed.problems.empty()) return report;
  config::begin_paths_at(std::filesystem::path(path).parent_path().string(), report.parsed.spec);
  if (Status status = judge(report); !status.ok()) return fail(std::move(status));
  return report;
}

std::string problems_text(const ClusterReport& report) {
  std::string text;
  for (const config::Problem& problem : report.parsed.problems) text += config::problem_text(report.file, problem) + "\n";
  return text;
}

std::string report_text(const ClusterReport& report) {
  const config::ClusterSpec& spec = report.parsed.spec;
  std::string text = "cluster " + spec.name + ": " + counted(spec.coordinators.size(), "coordinator") + ", " +
                     counted(spec.gateways.size(), "gateway") + ", " +
                     (spec.any_node_with_certificate ? "any node with a certificate" : counted(spec.nodes.size(), "node")) + "; " +
                     counted(static_cast<std::size_t>(spec.parallelism.data_parallel_size), "replica") + " of " +
                     counted(static_cast<std::size_t>(spec.parallelism.tensor_parallel_size), "rank") + "\n";
  text += "model " + spec.model.model_path;
  text += report.model ? ", computed in " + report.model->encoding + "\n"
                       : ", which cannot be read on this machine, so no memory is shown\n";
  for (const config::CoordinatorSpec& coordinator : spec.coordinators)
    text += "coordinator " + coordinator.name + " at " + coordinator.address + "\n";
  for (const config::GatewaySpec& gateway : spec.gateways)
    text += "gateway " + gateway.name + " at " + gateway.host + ":" + std::to_string(gateway.port) +
            (gateway.node.empty() ? "" : " on the machine of " + gateway.node) + "\n";
  append_nodes(report, text);
  if (const std::string directory = directory_text(report); !directory.empty()) text += directory + "\n";
  append_settings(report, text);
  for (const std::string& note : report.notes) text += "note: " + note + "\n";
  return text;
}

}  // namespace herd::commands
