// A Hugging Face directory as a checkpoint: configuration files, and safetensors in one file or in shards.

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "runtime/model/checkpoint_source.h"
#include "runtime/model/json_object.h"
#include "runtime/model/mapped_file.h"
#include "runtime/model/text_parts.h"

namespace herd::model {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kConfigBytesMax = std::size_t{1} << 20;
constexpr std::size_t kIndexBytesMax = std::size_t{16} << 20;
constexpr std::size_t kShardsMax = 4096;

bool is_file(const fs::path& path) {
  std::error_code error;
  return fs::is_regular_file(path, error);
}

void add_tensor(const SafetensorsFile& file, const SafetensorsTensor& tensor, StoredModel* model) {
  StoredTensor& stored = model->tensors.emplace_back();
  stored.info.name = tensor.name;
  stored.info.source_name = tensor.name;
  stored.info.bytes = tensor.end - tensor.begin;
  stored.info.file = file.file();
  stored.shape = tensor.shape;
  stored.encoding = tensor.encoding();
  stored.data = file.data(tensor).data();
  if (stored.encoding) {
    stored.info.encoding = encoding_name(*stored.encoding);
  } else {
    stored.info.encoding = tensor.dtype;
    for (char& c : stored.info.encoding) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
}

Status read_single(const std::string& path, StoredModel* model) {
  auto file = SafetensorsFile::open(path);
  if (!file) return file.error();
  for (const SafetensorsTensor& tensor : file->tensors()) add_tensor(*file, tensor, model);
  model->safetensors.push_back(std::move(*file));
  return {};
}

// A shard lies beside its index: a plain file name, nothing that could lead elsewhere.
bool is_plain_name(std::string_view name) {
  return !name.empty() && name.size() <= 255 &&
         name.find_first_of(std::string_view("/\\\0", 3)) == std::string_view::npos && name.front() != '.' &&
         name.ends_with(".safetensors");
}

// {"weight_map": {tensor: shard}}: every tensor in exactly the shard named, no tensor unnamed.
Status read_sharded(const std::string& index_path, StoredModel* model) {
  auto text = read_text_file(index_path, kIndexBytesMax);
  if (!text) return text.error();
  const auto json = JsonObject::parse(*text, index_path);
  if (!json) return json.error();
  const auto weight_map = json->object("weight_map");
  if (!json->status().ok()) return json->status();
  if (!weight_map) return json->problem("weight_map", "is missing");

  std::map<std::string, std::string> shard_of;
  std::set<std::string> shards;
  for (const std::string& tensor : weight_map->keys()) {
    const std::string shard = weight_map->string(tensor).value_or("");
    if (!json->status().ok()) return json->status();
    if (!is_plain_name(shard)) {
      return weight_map->problem(tensor, "\"" + shard + "\" is not the name of a .safetensors file beside the index");
    }
    shard_of.emplace(tensor, shard);
    shards.insert(shard);
  }
  if (shards.size() > kShardsMax) return json->problem("weight_map", "names more than 4096 files");

  std::map<std::string, std::string> found_in;
  for (const std::string& shard : shards) {
    auto file = SafetensorsFile::open((fs::path(index_path).parent_path() / shard).string());
    if (!file) return Status(file.error().code(), file.error().message() + " (named by " + index_path + ")");
    for (const SafetensorsTensor& tensor : file->tensors()) {
      const auto [first, is_new] = found_in.emplace(tensor.name, shard);
      if (!is_new) return bad_input(file->file() + ": " + tensor.name + ": is in " + first->second + " too");
      const auto mapped = shard_of.find(tensor.name);
      if (mapped == shard_of.end()) return bad_input(file->file() + ": " + tensor.name + ": is not in " + index_path);
      if (mapped->second != shard) {
        return bad_input(file->file() + ": " + tensor.name + ": should be in " + mapped->second + ", says " +
                         index_path);
      }
      add_tensor(*file, tensor, model);
    }
    model->safetensors.push_back(std::move(*file));
  }
  for (const auto& [tensor, shard] : shard_of) {
    if (!found_in.contains(tensor)) {
      return bad_input((fs::path(index_path).parent_path() / shard).string() + ": " + tensor + ": is missing, but " +
                       index_path + " names it");
    }
  }
  return {};
}

Status no_weights(const fs::path& directory) {
  for (const char* name : {"pytorch_model.bin", "pytorch_model.bin.index.json", "consolidated.00.pth", "params.json"}) {
    if (is_file(directory / name)) {
      return bad_input((directory / name).string() +
                       ": PyTorch checkpoints are not supported yet (safetensors and GGUF are)");
    }
  }
  return missing(directory.string() + ": has neither model.safetensors nor model.safetensors.index.json");
}

}  // namespace

Expected<StoredModel> read_model_directory(const std::string& directory) {
  const fs::path root(directory);
  StoredModel model;
  model.config_file = (root / "config.json").string();
  auto text = read_text_file(model.config_file, kConfigBytesMax);
  if (!text) return fail(text.error());
  auto config = parse_config_json(*text, model.config_file);
  if (!config) return fail(config.error());
  model.config = std::move(config->config);
  model.tie_word_embeddings = config->tie_word_embeddings;
  model.torch_dtype = config->torch_dtype;

  if (const fs::path path = root / "generation_config.json"; is_file(path)) {
    auto generation_text = read_text_file(path.string(), kConfigBytesMax);
    if (!generation_text) return fail(generation_text.error());
    auto generation = parse_generation_config(*generation_text, path.string());
    if (!generation) return fail(generation.error());
    for (const TokenId id : generation->eos_ids) {
      if (id >= model.config.vocab_size) {
        return fail(bad_input(path.string() + ": eos_token_id: " + std::to_string(id) +
                              " is beyond the vocabulary of " + std::to_string(model.config.vocab_size)));
      }
    }
    model.generation = std::move(*generation);
  }
  if (model.generation.eos_ids.empty()) model.generation.eos_ids = model.config.eos_ids;
  if (!model.generation.bos_id) model.generation.bos_id = model.config.bos_id;

  model.text = read_text_parts(directory);
  return model;
}

Status read_safetensors(const std::string& path, StoredModel* model) {
  std::error_code error;
  if (!fs::is_directory(path, error)) {
    return path.ends_with(".index.json") ? read_sharded(path, model) : read_single(path, model);
  }
  const fs::path root(path);
  if (is_file(root / "model.safetensors")) return read_single((root / "model.safetensors").string(), model);
  const fs::path index = root / "model.safetensors.index.json";
  if (is_file(index)) return read_sharded(index.string(), model);
  return no_weights(root);
}

}  // namespace herd::model
