#include "runtime/tokenizer/tokenizer_model.h"

#include "runtime/tokenizer/tokenizer_definition.h"
#include "runtime/tokenizer/tokenizer_file.h"

namespace herd::tokenizer {

Expected<Tokenizer> load_tokenizer_model(const std::filesystem::path& path, const TokenizerModelOptions& options) {
  const auto content = read_tokenizer_file(path, kTokenizerFileBytesMax);
  if (!content) return fail(content.error());
  if (is_sentencepiece_file(*content)) return parse_sentencepiece_model(*content, path.string(), options.sentencepiece);
  return parse_tiktoken_model(*content, path.string(), options.specials);
}

}  // namespace herd::tokenizer
