#include "runtime/checkpoint/open_model.h"

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>

#include "runtime/checkpoint/checkpoint_source.h"
#include "runtime/checkpoint/model_folder.h"

namespace herd::model {
namespace {

Expected<OpenedModel> open_with_random_weights(const ModelFiles& files) {
  auto description = open_config_only(files.path);
  if (!description) return fail(description.error());
  if (files.layers > 0) description->config.layers = std::min(files.layers, description->config.layers);
  return OpenedModel{files, std::move(*description), nullptr, {}};
}

// The weight path that was asked for; of a folder's several GGUF models the one in the encoding that was.
Expected<std::string> weights_of(const ModelFiles& files, const std::string& encoding) {
  const std::string& place = files.weight_path.empty() ? files.path : files.weight_path;
  std::error_code error;
  if (encoding.empty() || !std::filesystem::is_directory(place, error) || has_safetensors(place)) return files.weight_path;
  const auto models = gguf_models_in(place);
  if (!models) return fail(models.error());
  return models->size() > 1 ? gguf_in(place, encoding) : files.weight_path;
}

}  // namespace

std::string OpenedModel::own_encoding() const {
  return checkpoint == nullptr ? dtype_name(description.config.torch_dtype) : checkpoint->default_encoding();
}

Expected<OpenedModel> open_model(const ModelFiles& files, const std::string& encoding) {
  if (files.random_weights) return open_with_random_weights(files);
  auto place = weights_of(files, encoding);
  if (!place) return fail(place.error());
  auto checkpoint = open_checkpoint(files.path, {*place, files.layers});
  if (!checkpoint) return fail(checkpoint.error());
  OpenedModel opened{files, {}, std::move(*checkpoint), {}};
  opened.files.weight_path = std::move(*place);
  opened.warnings = opened.checkpoint->warnings();
  opened.description = {opened.checkpoint->config(), opened.checkpoint->generation(), opened.checkpoint->text()};
  return opened;
}

}  // namespace herd::model
