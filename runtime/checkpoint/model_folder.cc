#include "runtime/checkpoint/model_folder.h"

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <filesystem>
#include <optional>
#include <set>
#include <string_view>
#include <system_error>
#include <vector>

#include "runtime/files/file_bytes.h"
#include "runtime/files/file_kind.h"
#include "runtime/files/presence.h"
#include "runtime/checkpoint/gguf_parts.h"
#include "runtime/checkpoint/json_object.h"
#include "runtime/checkpoint/shard_index.h"

namespace herd::model {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kFolderEntriesMax = 4096;  // of a folder, looked at
constexpr std::size_t kListedMax = 24;           // of several models, in a message
constexpr std::size_t kAdapterBytesMax = std::size_t{1} << 20;

// Names in the folder, sorted.
Expected<std::vector<std::string>> list(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (auto at = fs::directory_iterator(folder, error); !error && at != fs::directory_iterator(); at.increment(error)) {
    if (names.size() == kFolderEntriesMax) break;
    names.push_back(at->path().filename().string());
  }
  if (error) return fail(missing(folder + ": cannot be listed: " + error.message()));
  std::sort(names.begin(), names.end());
  return names;
}

std::string path_of(const std::string& folder, const std::string& name) { return (fs::path(folder) / name).string(); }

std::string lower(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

// What torch.save wrote, but not what a trainer leaves beside a model.
bool is_pytorch_name(const std::string& low) {
  if (!low.ends_with(".bin") && !low.ends_with(".pth") && !low.ends_with(".pt")) return false;
  for (const std::string_view other : {"training_args", "optimizer", "scheduler", "rng_state", "random_states"}) {
    if (low.starts_with(other)) return false;
  }
  return true;
}

// One path for each model among `names`, which are sorted: parts that belong together have one.
std::vector<std::string> models_among(const std::string& folder, const std::vector<std::string>& names) {
  std::vector<std::string> models;
  std::set<std::string> wholes;
  for (const std::string& name : names) {
    const auto part = gguf_part_name(name);
    if (!part || wholes.insert(part->of(1)).second) models.push_back(path_of(folder, name));
  }
  return models;
}

// What a model's weights are mostly stored in; empty where its files cannot be read.
std::string encoding_of(const std::string& path) {
  const auto parts = open_gguf_parts(path);
  return parts ? main_encoding(*parts) : std::string();
}

Expected<std::string> one_in_encoding(const std::string& folder, const std::vector<std::string>& models,
                                      const std::string& encoding) {
  std::vector<std::string> right;
  std::string shown;
  for (std::size_t i = 0; i < models.size(); ++i) {
    const bool is_listed = i < kListedMax;
    if (!is_listed && encoding.empty()) break;
    const std::string own = encoding_of(models[i]);
    const std::string name = fs::path(models[i]).filename().string();
    if (is_listed) shown += (i == 0 ? "" : ", ") + name + (own.empty() ? ", which cannot be read" : " in " + own);
    if (!own.empty() && own == encoding) right.push_back(models[i]);
  }
  if (right.size() == 1) return right.front();
  if (models.size() > kListedMax) shown += " and " + std::to_string(models.size() - kListedMax) + " more";
  const std::string none_or_many = right.empty() ? ", none" : ", more than one";
  return fail(bad_input(folder + ": has several GGUF models (" + shown + ")" +
                        (encoding.empty() ? "" : none_or_many + " of them in " + encoding) +
                        "; name the file of one of them (--quantization-encoding chooses where only one is in it)"));
}

std::optional<Status> adapter_in(const std::string& folder) {
  const std::string path = path_of(folder, "adapter_config.json");
  if (!files::is_file(path)) return {};
  std::string base;
  if (const auto text = files::read_text_file(path, kAdapterBytesMax)) {
    if (const auto json = JsonObject::parse(*text, path)) base = json->string("base_model_name_or_path").value_or("");
  }
  return bad_input(path + ": the folder holds a LoRA adapter" +
                   (base.empty() ? std::string() : " of " + base.substr(0, 200)) +
                   ", which is not supported yet (merge it into its model)");
}

}  // namespace

Expected<std::vector<std::string>> gguf_models_in(const std::string& folder) {
  const auto names = list(folder);
  if (!names) return fail(names.error());
  std::vector<std::string> found;
  for (const std::string& name : *names) {
    if (lower(name).ends_with(".gguf") && files::is_file(path_of(folder, name))) found.push_back(name);
  }
  if (found.empty()) {
    for (const std::string& name : *names) {
      if (files::kind_of_file(path_of(folder, name)) == files::FileKind::kGguf) found.push_back(name);
    }
  }
  return models_among(folder, found);
}

Expected<std::string> gguf_in(const std::string& folder, const std::string& encoding) {
  const auto models = gguf_models_in(folder);
  if (!models) return fail(models.error());
  if (models->empty()) return std::string();
  return models->size() == 1 ? models->front() : one_in_encoding(folder, *models, encoding);
}

Status no_model_in(const std::string& folder, const std::string& wanted) {
  const auto names = list(folder);
  if (!names) return names.error();
  if (const auto adapter = adapter_in(folder)) return *adapter;
  std::vector<std::string> shards;
  std::vector<std::string> pytorch;
  for (const std::string& name : *names) {
    const std::string path = path_of(folder, name);
    const std::string low = lower(name);
    const bool weights = low.ends_with(".safetensors") || low.ends_with(".gguf") || low.ends_with(".json");
    if (weights && files::is_dead_link(path)) return missing(files::absence(path));
    if (low.ends_with(".safetensors")) shards.push_back(name);
    if (low == "params.json" || low == "pytorch_model.bin.index.json" || is_pytorch_name(low)) pytorch.push_back(name);
  }
  if (!shards.empty()) {
    return missing(folder + ": has " + wanted + ", but other safetensors files (" + some_of(shards) +
                   "): fetch their index, or name one file with --weight-path");
  }
  if (!pytorch.empty()) {
    const bool meta = std::find(pytorch.begin(), pytorch.end(), "params.json") != pytorch.end() ||
                      std::find(pytorch.begin(), pytorch.end(), "consolidated.00.pth") != pytorch.end();
    return bad_input(path_of(folder, pytorch.front()) + ": " + (meta ? "Meta" : "PyTorch") +
                     " checkpoints are not supported yet (safetensors and GGUF are)");
  }
  std::error_code error;
  if (fs::is_directory(fs::path(folder) / "snapshots", error)) {
    return missing(folder + ": has " + wanted + "; it looks like a download cache: name a folder in its snapshots");
  }
  return missing(folder + ": has " + wanted + (names->empty() ? "; it is empty" : "; it has " + some_of(*names)));
}

}  // namespace herd::model
