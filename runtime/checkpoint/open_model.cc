#include "runtime/checkpoint/open_model.h"

#include <algorithm>
#include <utility>

namespace herd::model {
namespace {

Expected<OpenedModel> open_with_random_weights(const ModelFiles& files) {
  auto description = open_config_only(files.path);
  if (!description) return fail(description.error());
  if (files.layers > 0) description->config.layers = std::min(files.layers, description->config.layers);
  return OpenedModel{files, std::move(*description), nullptr, {}};
}

}  // namespace

std::string OpenedModel::own_encoding() const {
  return checkpoint == nullptr ? dtype_name(description.config.torch_dtype) : checkpoint->default_encoding();
}

Expected<OpenedModel> open_model(const ModelFiles& files) {
  if (files.random_weights) return open_with_random_weights(files);
  auto checkpoint = open_checkpoint(files.path, {files.weight_path, files.layers});
  if (!checkpoint) return fail(checkpoint.error());
  OpenedModel opened{files, {}, std::move(*checkpoint), {}};
  opened.warnings = opened.checkpoint->warnings();
  opened.description = {opened.checkpoint->config(), opened.checkpoint->generation(), opened.checkpoint->text()};
  return opened;
}

}  // namespace herd::model
