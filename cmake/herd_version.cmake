# Run at build time: writes OUTPUT from INPUT with the git id of SOURCE_DIR, only when it changed.
set(HERD_GIT_ID "unknown")
execute_process(COMMAND git -C ${SOURCE_DIR} rev-parse --short HEAD OUTPUT_VARIABLE id
                OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE failed)
if(NOT failed)
  set(HERD_GIT_ID ${id})
  execute_process(COMMAND git -C ${SOURCE_DIR} status --porcelain --untracked-files=no OUTPUT_VARIABLE changes ERROR_QUIET)
  if(changes)
    string(APPEND HERD_GIT_ID "+changes")
  endif()
endif()
configure_file(${INPUT} ${OUTPUT} @ONLY)
