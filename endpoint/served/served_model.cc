#include "endpoint/served/served_model.h"

#include <cstddef>
#include <utility>

namespace herd::served {
namespace {

// A reason that begins with a file, as clients may see it.
std::string without_folders(const std::string& reason) {
  const std::size_t colon = reason.find(": ");
  const std::size_t slash = colon == std::string::npos ? colon : reason.rfind('/', colon);
  return slash == std::string::npos ? reason : reason.substr(slash + 1);
}

}  // namespace

std::vector<std::string> served_names(const std::vector<std::string>& asked, const std::string& model_path) {
  if (!asked.empty()) return asked;
  std::string path = model_path;
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return {path.substr(path.find_last_of('/') + 1)};
}

ServedModel served_model(const ServedText& text, std::vector<std::string> names) {
  ServedModel model;
  model.root = names.front();
  model.names = std::move(names);
  model.tokenizer = text.tokenizer;
  if (!model.tokenizer) model.no_text_reason = without_folders(text.no_text.message());
  if (text.chat) model.chat_renderer = *text.chat;
  else model.no_chat_reason = without_folders(text.chat.error().message());
  model.generation = text.generation;
  model.vocab_size = text.config.vocab_size;
  return model;
}

}  // namespace herd::served
