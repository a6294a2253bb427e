# Checkpoint files: formats, configs, and the door to both.
herd_test(checkpoint_tests
  SRCS
    ${CMAKE_CURRENT_LIST_DIR}/checkpoint_blocks_test.cc
    ${CMAKE_CURRENT_LIST_DIR}/checkpoint_config_test.cc
    ${CMAKE_CURRENT_LIST_DIR}/checkpoint_dequantize_test.cc
    ${CMAKE_CURRENT_LIST_DIR}/checkpoint_gguf_test.cc
    ${CMAKE_CURRENT_LIST_DIR}/checkpoint_open_test.cc
    ${CMAKE_CURRENT_LIST_DIR}/checkpoint_parts_test.cc
    ${CMAKE_CURRENT_LIST_DIR}/checkpoint_places_test.cc
    ${CMAKE_CURRENT_LIST_DIR}/checkpoint_safetensors_test.cc
    ${CMAKE_CURRENT_LIST_DIR}/conversion_test.cc
    ${CMAKE_CURRENT_LIST_DIR}/end_ids_test.cc
    ${CMAKE_CURRENT_LIST_DIR}/file_presence_test.cc
    ${CMAKE_CURRENT_LIST_DIR}/gguf_head_test.cc
    ${CMAKE_CURRENT_LIST_DIR}/new_file_test.cc
    ${CMAKE_CURRENT_LIST_DIR}/open_model_test.cc
    ${CMAKE_CURRENT_LIST_DIR}/generation_config_test.cc
    ${CMAKE_CURRENT_LIST_DIR}/json_tree_test.cc
    ${CMAKE_CURRENT_LIST_DIR}/quantizing_source_test.cc
    ${CMAKE_CURRENT_LIST_DIR}/text_parts_test.cc
    ${CMAKE_CURRENT_LIST_DIR}/checkpoint_vocabulary_test.cc
    ${CMAKE_CURRENT_LIST_DIR}/checkpoint_weights_test.cc
  DEPS herd::conversion herd::json Boost::json)
