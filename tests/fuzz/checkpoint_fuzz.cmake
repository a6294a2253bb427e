# Fuzz targets of the checkpoint readers; needs clang. Seeds: corpus/NAME, written by make_checkpoint_corpus.py.
foreach(name config_json gguf safetensors)
  add_executable(${name}_fuzz ${CMAKE_CURRENT_LIST_DIR}/${name}_fuzz.cc)
  target_compile_options(${name}_fuzz PRIVATE -fsanitize=fuzzer)
  target_link_options(${name}_fuzz PRIVATE -fsanitize=fuzzer)
  target_link_libraries(${name}_fuzz PRIVATE herd::checkpoint)
endforeach()
