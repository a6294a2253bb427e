# Included by the CMakeLists.txt of tests/runtime. The golden vectors of Llama 3 need Meta's tokenizer.model at
# .cache/herd/llama3/tokenizer.model; without it those tests skip.
add_executable(tokenizer_tests
  ${CMAKE_CURRENT_LIST_DIR}/joined_thread_test.cc
  ${CMAKE_CURRENT_LIST_DIR}/regex_test.cc
  ${CMAKE_CURRENT_LIST_DIR}/text_address_text_test.cc
  ${CMAKE_CURRENT_LIST_DIR}/text_hex_test.cc
  ${CMAKE_CURRENT_LIST_DIR}/text_json_string_test.cc
  ${CMAKE_CURRENT_LIST_DIR}/tokenizer_added_tokens_test.cc
  ${CMAKE_CURRENT_LIST_DIR}/tokenizer_bpe_test.cc
  ${CMAKE_CURRENT_LIST_DIR}/tokenizer_charsmap_test.cc
  ${CMAKE_CURRENT_LIST_DIR}/tokenizer_decoder_test.cc
  ${CMAKE_CURRENT_LIST_DIR}/tokenizer_document_test.cc
  ${CMAKE_CURRENT_LIST_DIR}/tokenizer_gguf_test.cc
  ${CMAKE_CURRENT_LIST_DIR}/tokenizer_gguf_vocabulary_of_test.cc
  ${CMAKE_CURRENT_LIST_DIR}/tokenizer_json_test.cc
  ${CMAKE_CURRENT_LIST_DIR}/tokenizer_llama3_test.cc
  ${CMAKE_CURRENT_LIST_DIR}/tokenizer_normalizer_test.cc
  ${CMAKE_CURRENT_LIST_DIR}/tokenizer_piece_trie_test.cc
  ${CMAKE_CURRENT_LIST_DIR}/tokenizer_scored_bpe_test.cc
  ${CMAKE_CURRENT_LIST_DIR}/tokenizer_sentencepiece_test.cc
  ${CMAKE_CURRENT_LIST_DIR}/tokenizer_tiktoken_test.cc
  ${CMAKE_CURRENT_LIST_DIR}/tokenizer_unigram_test.cc
  ${CMAKE_CURRENT_LIST_DIR}/tokenizer_utf8_test.cc
  ${CMAKE_CURRENT_LIST_DIR}/unicode_test.cc
)
target_link_libraries(tokenizer_tests PRIVATE herd_tokenizer herd_unicode GTest::gtest GTest::gtest_main)
target_compile_definitions(tokenizer_tests PRIVATE
  HERD_LLAMA3_TOKENIZER="${PROJECT_SOURCE_DIR}/.cache/herd/llama3/tokenizer.model")
add_test(NAME tokenizer_tests COMMAND tokenizer_tests)
