#include "runtime/tokenizer/tokenizer_model.h"

#include "runtime/tokenizer/tokenizer_definition.h"
#include "runtime/tokenizer/tokenizer_file.h"

namespace herd::tokenizer {

Expected<TokenizerDefinition> load_tokenizer_model_definition(const std::filesystem::path& path, const TokenizerModelOptions& options) {
  const auto content = read_tokenizer_file(path, kTokenizerFileBytesMax);
  if (!content) return fail(content.error());
  if (is_sentencepiece_file(*content)) return sentencepiece_definition(*content, path.string(), options.sentencepiece);
  return tiktoken_definition(*content, path.string(), options.specials);
}

Expected<Tokenizer> load_tokenizer_model(const std::filesystem::path& path, const TokenizerModelOptions& options) {
  return Tokenizer::build(load_tokenizer_model_definition(path, options), path.string());
}

}  // namespace herd::tokenizer
