# Included by the CMakeLists.txt of tests/runtime. The golden vectors of Llama 3 need Meta's tokenizer.model at
# .cache/herd/llama3/tokenizer.model; without it those tests skip.
add_executable(tokenizer_tests
  ${CMAKE_CURRENT_LIST_DIR}/chat_renderer_test.cc
  ${CMAKE_CURRENT_LIST_DIR}/text_hex_test.cc
  ${CMAKE_CURRENT_LIST_DIR}/text_json_string_test.cc
  ${CMAKE_CURRENT_LIST_DIR}/tokenizer_bpe_test.cc
  ${CMAKE_CURRENT_LIST_DIR}/tokenizer_chat_test.cc
  ${CMAKE_CURRENT_LIST_DIR}/tokenizer_decoder_test.cc
  ${CMAKE_CURRENT_LIST_DIR}/tokenizer_gguf_test.cc
  ${CMAKE_CURRENT_LIST_DIR}/tokenizer_json_test.cc
  ${CMAKE_CURRENT_LIST_DIR}/tokenizer_llama3_test.cc
  ${CMAKE_CURRENT_LIST_DIR}/tokenizer_tiktoken_test.cc
  ${CMAKE_CURRENT_LIST_DIR}/tokenizer_utf8_test.cc
)
target_link_libraries(tokenizer_tests PRIVATE herd_tokenizer GTest::gtest GTest::gtest_main)
target_compile_definitions(tokenizer_tests PRIVATE
  HERD_LLAMA3_TOKENIZER="${PROJECT_SOURCE_DIR}/.cache/herd/llama3/tokenizer.model")
add_test(NAME tokenizer_tests COMMAND tokenizer_tests)

# Ids of many texts, for tests/e2e/tokenizer_parity.py.
add_executable(tokenizer_dump ${CMAKE_CURRENT_LIST_DIR}/tokenizer_dump.cc)
target_link_libraries(tokenizer_dump PRIVATE herd_tokenizer Boost::json)

herd_test(jinja_tests
  SRCS
    ${CMAKE_CURRENT_LIST_DIR}/jinja_expression_test.cc
    ${CMAKE_CURRENT_LIST_DIR}/jinja_lexer_test.cc
    ${CMAKE_CURRENT_LIST_DIR}/jinja_limits_test.cc
    ${CMAKE_CURRENT_LIST_DIR}/jinja_statement_test.cc
  DEPS herd::jinja)

# Templates rendered, for tests/e2e/chat_template_test.py.
add_executable(jinja_dump ${CMAKE_CURRENT_LIST_DIR}/jinja_dump.cc)
target_link_libraries(jinja_dump PRIVATE herd::jinja Boost::json)
