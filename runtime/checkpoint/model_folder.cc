#include "runtime/checkpoint/model_folder.h"

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <filesystem>
#include <optional>
#include <string_view>
#include <system_error>
#include <vector>

#include "runtime/files/file_bytes.h"
#include "runtime/files/file_kind.h"
#include "runtime/files/presence.h"
#include "runtime/checkpoint/json_object.h"
#include "runtime/checkpoint/shard_index.h"

namespace herd::model {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kEntriesMax = 4096;  // of a folder, looked at
constexpr std::size_t kAdapterBytesMax = std::size_t{1} << 20;

// Names in the folder, sorted.
Expected<std::vector<std::string>> list(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (auto at = fs::directory_iterator(folder, error); !error && at != fs::directory_iterator(); at.increment(error)) {
    if (names.size() == kEntriesMax) break;
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

// "-00002-of-00005.gguf": a part of a model.
bool is_part_name(const std::string& name) {
  const std::size_t of = name.rfind("-of-");
  return of != std::string::npos && of >= 5 &&
         std::all_of(name.begin() + static_cast<std::ptrdiff_t>(of) - 5, name.begin() + static_cast<std::ptrdiff_t>(of),
                     [](unsigned char c) { return std::isdigit(c) != 0; });
}

// What torch.save wrote, but not what a trainer leaves beside a model.
bool is_pytorch_name(const std::string& low) {
  if (!low.ends_with(".bin") && !low.ends_with(".pth") && !low.ends_with(".pt")) return false;
  for (const std::string_view other : {"training_args", "optimizer", "scheduler", "rng_state", "random_states"}) {
    if (low.starts_with(other)) return false;
  }
  return true;
}

Expected<std::string> one_of(const std::string& folder, const std::vector<std::string>& found) {
  if (found.empty()) return std::string();
  if (found.size() == 1) return path_of(folder, found.front());
  if (std::all_of(found.begin(), found.end(), is_part_name)) {
    return fail(bad_input(folder + ": has a GGUF file in several parts (" + some_of(found) +
                          "), which is not supported yet (merge them with gguf-split --merge)"));
  }
  return fail(bad_input(folder + ": has several .gguf files (" + some_of(found) + "); name one of them"));
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

Expected<std::string> only_gguf_in(const std::string& folder) {
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
  return one_of(folder, found);
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
