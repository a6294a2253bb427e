#pragma once
// A map of characters as HF `tokenizers` applies it (its normalizer "Precompiled"): to what a reader takes for one
// character, a grapheme cluster, where that has few bytes, and to single code points elsewhere. SentencePiece itself takes
// the longest string of the map; both agree on nearly every text.

#include "runtime/text/marked_text.h"
#include "runtime/tokenizer/charsmap.h"

namespace herd::tokenizer {

// `text` is valid UTF-8; so is the result.
[[nodiscard]] text::MarkedText apply_to_clusters(const Charsmap& map, const text::MarkedText& text);

}  // namespace herd::tokenizer
