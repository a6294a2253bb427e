// A Hugging Face directory as a checkpoint: configuration files, and safetensors in one file or in shards.

#include <cctype>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/files/file_bytes.h"
#include "runtime/files/file_kind.h"
#include "runtime/files/presence.h"
#include "runtime/checkpoint/checkpoint_source.h"
#include "runtime/checkpoint/json_object.h"
#include "runtime/checkpoint/model_folder.h"
#include "runtime/checkpoint/safetensors_file.h"
#include "runtime/checkpoint/text_parts.h"

namespace herd::model {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kConfigBytesMax = std::size_t{1} << 20;

void add_tensors(const SafetensorsFile& file, StoredModel* model) {
  for (const SafetensorsTensor& tensor : file.tensors()) {
    StoredTensor& stored = model->tensors.emplace_back();
    stored.info.name = tensor.name;
    stored.info.source_name = tensor.name;
    stored.info.bytes = tensor.end - tensor.begin;
    stored.info.file = file.file();
    stored.shape = tensor.shape;
    stored.encoding = tensor.encoding();
    stored.bytes = file.bytes();
    stored.begin = tensor.begin;
    if (stored.encoding) {
      stored.info.encoding = format_name(*stored.encoding);
    } else {
      stored.info.encoding = tensor.dtype;
      for (char& c : stored.info.encoding) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    }
  }
}

// Every tensor of every shard that the index names; what of it is needed shows when the config is known.
Status read_sharded(const std::string& index_path, StoredModel* model) {
  auto index = read_shard_index(index_path);
  if (!index) return index.error();
  for (const std::string& shard : index->shards()) {
    const auto file = SafetensorsFile::open((fs::path(index_path).parent_path() / shard).string());
    if (file) {
      add_tensors(*file, model);
    } else if (file.error().code() == StatusCode::kMissing) {
      index->absent.emplace(shard, file.error());
    } else {
      return {file.error().code(), file.error().message() + " (named by " + index_path + ")"};
    }
  }
  model->index = std::move(*index);
  return {};
}

Status read_single(const std::string& path, StoredModel* model) {
  if (files::kind_of_file(path) == files::FileKind::kJson) return read_sharded(path, model);
  const auto file = SafetensorsFile::open(path);
  if (!file) return file.error();
  add_tensors(*file, model);
  return {};
}

// generation_config.json comes first, config.json says what it leaves open.
void add_ids(const ConfigIds& config, GenerationConfig& generation) {
  for (const TokenId id : config.eos_ids) {
    if (std::find(generation.eos_ids.begin(), generation.eos_ids.end(), id) == generation.eos_ids.end())
      generation.eos_ids.push_back(id);
  }
  if (!generation.bos_id) generation.bos_id = config.bos_id;
}

Status read_generation_and_text(const std::string& directory, StoredModel* model) {
  const fs::path path = fs::path(directory) / "generation_config.json";
  if (files::is_file_or_dead_link(path)) {
    auto generation_text = files::read_text_file(path.string(), kConfigBytesMax);
    if (!generation_text) return generation_text.error();
    auto generation = parse_generation_config(*generation_text, path.string());
    if (!generation) return generation.error();
    model->generation = std::move(*generation);
  }
  model->text = read_text_parts(directory);
  return {};
}

}  // namespace

Expected<StoredModel> read_model_directory(const std::string& directory) {
  const fs::path root(directory);
  StoredModel model;
  model.config_file = (root / "config.json").string();
  auto text = files::read_text_file(model.config_file, kConfigBytesMax);
  if (!text) return fail(text.error());
  auto config = parse_config_json(*text, model.config_file);
  if (!config) return fail(config.error());
  model.config = std::move(config->config);
  model.tie_word_embeddings = config->tie_word_embeddings;
  model.torch_dtype = config->torch_dtype;
  model.warnings = std::move(config->warnings);

  if (Status status = read_generation_and_text(directory, &model); !status.ok()) return fail(std::move(status));
  add_ids({model.config.bos_id, model.config.eos_ids}, model.generation);
  return model;
}

Status read_side_files(const std::string& directory, StoredModel* model) {
  if (Status status = read_generation_and_text(directory, model); !status.ok()) return status;
  const std::string path = (fs::path(directory) / "config.json").string();
  if (!files::is_file(path)) return {};
  const auto text = files::read_text_file(path, kConfigBytesMax);
  if (!text) return text.error();
  const auto ids = parse_config_ids(*text, path);
  if (!ids) return ids.error();
  add_ids(*ids, model->generation);
  return {};
}

bool has_safetensors(const std::string& folder) {
  const fs::path root(folder);
  return files::is_file_or_dead_link(root / "model.safetensors") || files::is_file_or_dead_link(root / "model.safetensors.index.json");
}

Status read_safetensors(const std::string& path, StoredModel* model) {
  std::error_code error;
  if (!fs::is_directory(path, error)) return read_single(path, model);
  const fs::path root(path);
  if (files::is_file_or_dead_link(root / "model.safetensors")) return read_single((root / "model.safetensors").string(), model);
  const fs::path index = root / "model.safetensors.index.json";
  if (files::is_file_or_dead_link(index)) return read_sharded(index.string(), model);
  return no_model_in(path, "neither model.safetensors nor model.safetensors.index.json");
}

}  // namespace herd::model
