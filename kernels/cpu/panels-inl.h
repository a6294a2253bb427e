// What every product with packed weights shares: tiles of rows over K blocks of panels, rule 3's tree of leaves, where a result
// goes. Included once per file of kernels, before the products.

namespace herd {
namespace HERD_ISA {
namespace {

// 16 elements of an activation row, bf16 or f32.
HERD_SIMD V16 load_act(const TensorView& x, std::int64_t at) {
  return x.dtype == DType::kF32 ? load(static_cast<const float*>(x.data) + at)
                                : load_bf16(static_cast<const std::uint16_t*>(x.data) + at);
}

// ---- the tree of leaves (rule 3), one node in work and a stack of finished ones ----

struct LeafStack {
  float* buffer[kTreeLevels];
  bool present[kTreeLevels];
  int depth;
};

// Closes the leaf in buffer[depth] (leaf number `leaf`): adds finished pairs, left + right; an absent one is skipped.
HERD_SIMD void close_leaf(LeafStack* stack, int leaf, std::int64_t floats) {
  stack->depth++;
  for (int count = leaf + 1; count % 2 == 0; count /= 2) {
    const int right = stack->depth - 1;
    const int left = right - 1;
    if (stack->present[left] && stack->present[right]) {
      float* sum = stack->buffer[left];
      const float* addend = stack->buffer[right];
      for (std::int64_t i = 0; i < floats; i += 16) store(sum + i, add(load(sum + i), load(addend + i)));
    } else if (stack->present[right]) {
      float* swap = stack->buffer[left];
      stack->buffer[left] = stack->buffer[right];
      stack->buffer[right] = swap;
      stack->present[left] = true;
    }
    stack->depth--;
  }
}

// Parts, bias, rounding, store of 16 columns of a row of out, or of those that the last panel has: behind them another matrix may
// write. sums: of the parts of its x, 16 floats each.
HERD_SIMD void finish(const MatmulArgs& args, std::int64_t row, std::int64_t panel, const float* sums) {
  V16 sum = load(sums);
  if (args.w->x_parts == 2) sum = add(sum, load(sums + 16));
  const std::int64_t column = panel * kPanelOutputs;
  const std::int64_t left = args.w->outputs - column;
  if (args.bias != nullptr) sum = add(sum, left >= 16 ? load(args.bias + column) : load_first(args.bias + column, left));
  const std::int64_t at = row * args.out->row_stride + column;
  if (args.out->dtype == DType::kF32) {
    float* const to = static_cast<float*>(args.out->data) + at;
    left >= 16 ? store(to, sum) : store_first(to, sum, left);
  } else {
    auto* const to = static_cast<std::uint16_t*>(args.out->data) + at;
    left >= 16 ? store_bf16(to, sum) : store_bf16_first(to, sum, left);
  }
}

// A K block of neighbouring panels. What tile_panels wants of the tiles that pass over it:
//   kRows, kPanels, kXChunkBytes   as in Product
//   block_chunks                   how many chunks, at most, make a block that begins with a given one
//   prepare                        the block as the tiles read it: where it is, or rearranged in `room`
//   multiply                       tile `tile` of `tiles`; the sums of panel p, row r are at sums + p * panel_floats + r * 16
struct TileBlock {
  const PackedMatrix* matrix;
  const char* w;  // first chunk of the first panel; the next panel is panel_bytes behind
  std::int64_t panel_bytes;
  int panels;
  std::int64_t chunk;  // the first one's number in its panel
  std::int64_t chunks;
  const char* next;   // where the block after this one begins
  const char* ready;  // what prepare gave
};
struct TileSums {
  float* data;
  std::int64_t panel_floats;
  bool fresh;  // the sums start at +0
};

// `group_panels` panels take turns on a K block of x, so that x streams through L2 once per group.
template <class Tiles>
void tile_panels(const MatmulArgs& args, std::int64_t begin, std::int64_t end, float* scratch) {
  const PackedMatrix& w = *args.w;
  const std::int64_t all_chunks = w.chunks();
  const std::int64_t chunk_bytes = w.chunk_bytes();
  const std::int64_t tiles = tile_count(args.rows, Tiles::kRows);
  const std::int64_t panel_floats = args.rows * 16;
  const std::int64_t level_floats = args.group_panels * panel_floats;
  float* room = scratch + kTreeLevels * level_floats;
  const char* const data = static_cast<const char*>(w.data) + w.head_bytes();
  TileBlock block;
  block.matrix = &w;
  block.panel_bytes = w.panel_bytes();

  for (std::int64_t group = begin; group < end; group += args.group_panels) {
    const std::int64_t group_end = group + args.group_panels < end ? group + args.group_panels : end;
    LeafStack stack;
    stack.depth = 0;
    for (int level = 0; level < kTreeLevels; level++) stack.buffer[level] = scratch + level * level_floats;
    for (int leaf = 0; leaf < w.leaf_count; leaf++) {
      const std::int64_t leaf_end = w.leaf_chunk[leaf + 1];
      stack.present[stack.depth] = w.leaf_chunk[leaf] < leaf_end;
      for (std::int64_t chunk = w.leaf_chunk[leaf]; chunk < leaf_end; chunk += block.chunks) {
        const std::int64_t most = Tiles::block_chunks(args, chunk);
        block.chunk = chunk;
        block.chunks = chunk + most < leaf_end ? most : leaf_end - chunk;
        const std::int64_t behind = chunk + block.chunks;  // the chunk where these panels take their next turn
        const char* const turn = behind < all_chunks ? data + group * block.panel_bytes + behind * chunk_bytes
                                                     : data + group_end * block.panel_bytes;
        for (std::int64_t panel = group; panel < group_end; panel += Tiles::kPanels) {
          block.panels = panel + Tiles::kPanels <= group_end ? Tiles::kPanels : static_cast<int>(group_end - panel);
          block.w = data + panel * block.panel_bytes + chunk * chunk_bytes;
          block.next = panel + Tiles::kPanels < group_end ? block.w + Tiles::kPanels * block.panel_bytes : turn;
          block.ready = Tiles::prepare(block, room);
          float* sums = stack.buffer[stack.depth] + (panel - group) * panel_floats;
          for (std::int64_t t = 0; t < tiles; t++) {
            const std::int64_t row = tile_row(args.rows, tiles, t);
            const std::int64_t rows = tile_row(args.rows, tiles, t + 1) - row;
            const char* x = args.x + (row * all_chunks + rows * chunk) * Tiles::kXChunkBytes;
            Tiles::multiply(block, static_cast<int>(rows), x,
                            {sums + row * 16, panel_floats, chunk == w.leaf_chunk[leaf]}, t, tiles);
          }
        }
      }
      close_leaf(&stack, leaf, (group_end - group) * panel_floats);
    }
    for (std::int64_t row = 0; row < args.rows / w.x_parts; row++) {  // a row's panels lie beside each other
      for (std::int64_t panel = group; panel < group_end; panel++) {
        finish(args, row, panel, stack.buffer[0] + (panel - group) * panel_floats + row * w.x_parts * 16);
      }
    }
  }
}

}  // namespace
}  // namespace HERD_ISA
}  // namespace herd
