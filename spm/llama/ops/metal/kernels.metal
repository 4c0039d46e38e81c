// GGUF blocks on Apple's GPUs, as the file has them: matrices to float32, and matrix times rows.
//
// Every block type falls into parts of sixteen values that share a scale, so one thread takes one
// part at a time, whatever the type. A part is what its type makes of a block's bytes,
//
//     x = scale * (q - zero) + offset,        q sixteen numbers of a byte each, four to a word,
//
// and all types end in the same float operations, in the order of spm/gguf/quants.py, where their
// maps of bytes are. Every product here is exact in float32, so that a fused multiply-add changes
// nothing. Where there is no offset it is -0: x + -0 is x for either zero.
//
// Four bytes are handled at once. Q4_0's bytes 2 to 5 hold q16:q0 q17:q1 q18:q2 q19:q3:
//
//     word      0x 83 92 a1 b0      the lowest byte first: q0 = 0, q16 = b, q1 = 1, ..
//     part 0    word >> 0 & 0x0F0F0F0F = 0x 03 02 01 00      q3 q2 q1 q0
//     part 1    word >> 4 & 0x0F0F0F0F = 0x 08 09 0a 0b      q19 q18 q17 q16
//
// A block starts at an even address, no more: words are read as two shorts.

namespace gguf {

using namespace metal;

inline uint word(device const uchar *at) {
    device const ushort *shorts = (device const ushort *)at;
    return shorts[0] | uint(shorts[1]) << 16;
}

inline float f16(device const uchar *at) { return float(*(device const half *)at); }

// The four lowest bits, each the lowest of a byte.
inline uint spread(uint bits) { return (bits & 0xF) * 0x00204081 & 0x01010101; }

struct Part {
    float scale, zero, offset;
    uint q[4];

    float4 four(uint i) const { return scale * (float4(as_type<uchar4>(q[i])) - zero) + offset; }
};

// ---- halves: a part has no scale ----

struct Numbers {
    float4 x[4];

    float4 four(uint i) const { return x[i]; }
};

struct F16 {
    enum : uint { values = 16, bytes = 32 };
    static Numbers part(device const uchar *block, uint) {
        device const half *h = (device const half *)block;
        return {{float4(h[0], h[1], h[2], h[3]), float4(h[4], h[5], h[6], h[7]),
                 float4(h[8], h[9], h[10], h[11]), float4(h[12], h[13], h[14], h[15])}};
    }
};

// The high halves of float32.
inline float4 high_halves(uint two, uint next_two) {
    return float4(as_type<float>(two << 16), as_type<float>(two & 0xFFFF0000),
                  as_type<float>(next_two << 16), as_type<float>(next_two & 0xFFFF0000));
}

struct BF16 {
    enum : uint { values = 16, bytes = 32 };
    static Numbers part(device const uchar *b, uint) {
        return {{high_halves(word(b), word(b + 4)), high_halves(word(b + 8), word(b + 12)),
                 high_halves(word(b + 16), word(b + 20)), high_halves(word(b + 24), word(b + 28))}};
    }
};

// ---- blocks of 32: two parts ----

// The low four bits of Q4_0 to Q5_1.
inline uint low_four(device const uchar *qs, uint part, uint i) {
    return word(qs + 4 * i) >> 4 * part & 0x0F0F0F0F;
}

// Their fifth bits, those of Q5_0 and Q5_1.
inline uint fifth(device const uchar *qh, uint part, uint i) {
    return spread(word(qh) >> (16 * part + 4 * i)) << 4;
}

struct Q4_0 {
    enum : uint { values = 32, bytes = 18 };
    static Part part(device const uchar *block, uint part) {
        Part p = {f16(block), 8, -0.0f, {}};
        for (uint i = 0; i < 4; ++i) p.q[i] = low_four(block + 2, part, i);
        return p;
    }
};

struct Q4_1 {
    enum : uint { values = 32, bytes = 20 };
    static Part part(device const uchar *block, uint part) {
        Part p = {f16(block), 0, f16(block + 2), {}};
        for (uint i = 0; i < 4; ++i) p.q[i] = low_four(block + 4, part, i);
        return p;
    }
};

struct Q5_0 {
    enum : uint { values = 32, bytes = 22 };
    static Part part(device const uchar *block, uint part) {
        Part p = {f16(block), 16, -0.0f, {}};
        for (uint i = 0; i < 4; ++i) p.q[i] = low_four(block + 6, part, i) | fifth(block + 2, part, i);
        return p;
    }
};

struct Q5_1 {
    enum : uint { values = 32, bytes = 24 };
    static Part part(device const uchar *block, uint part) {
        Part p = {f16(block), 0, f16(block + 2), {}};
        for (uint i = 0; i < 4; ++i) p.q[i] = low_four(block + 8, part, i) | fifth(block + 4, part, i);
        return p;
    }
};

// Signed bytes: with the top bit turned over they count from -128.
struct Q8_0 {
    enum : uint { values = 32, bytes = 34 };
    static Part part(device const uchar *block, uint part) {
        Part p = {f16(block), 128, -0.0f, {}};
        for (uint i = 0; i < 4; ++i) p.q[i] = word(block + 2 + 16 * part + 4 * i) ^ 0x80808080;
        return p;
    }
};

// ---- super-blocks of 256: sixteen parts ----

// The low two bits of Q2_K and Q3_K.
inline uint low_two(device const uchar *qs, uint part, uint i) {
    return word(qs + part / 8 * 32 + part % 2 * 16 + 4 * i) >> part % 8 / 2 * 2 & 0x03030303;
}

// The low four bits of Q4_K and Q5_K.
inline uint low_four_k(device const uchar *qs, uint part, uint i) {
    return word(qs + part / 4 * 32 + part % 2 * 16 + 4 * i) >> part / 2 % 2 * 4 & 0x0F0F0F0F;
}

// The bits that Q3_K and Q5_K keep apart.
inline uint top_bit(device const uchar *bits, uint part, uint i) {
    return word(bits + part % 2 * 16 + 4 * i) >> part / 2 & 0x01010101;
}

struct Q2_K {
    enum : uint { values = 256, bytes = 84 };
    static Part part(device const uchar *block, uint part) {
        uint scales = block[part];
        Part p = {f16(block + 80) * (scales & 0xF), 0, -(f16(block + 82) * (scales >> 4)), {}};
        for (uint i = 0; i < 4; ++i) p.q[i] = low_two(block + 16, part, i);
        return p;
    }
};

struct Q3_K {
    enum : uint { values = 256, bytes = 110 };
    static Part part(device const uchar *block, uint part) {
        uint low = block[96 + part % 8] >> part / 8 * 4 & 0xF;
        uint high = block[104 + part % 4] >> part / 4 * 2 & 3;
        Part p = {f16(block + 108) * (float(low | high << 4) - 32), 4, -0.0f, {}};
        for (uint i = 0; i < 4; ++i) p.q[i] = low_two(block + 32, part, i) | top_bit(block, part, i) << 2;
        return p;
    }
};

// Scale and minimum of Q4_K and Q5_K, 32 values each.
inline Part scale_and_minimum(device const uchar *block, uint part) {
    uint sub = part / 2;
    uint s = block[4 + sub % 4], m = block[8 + sub % 4], low = block[12 + sub % 4];
    uint scale = sub < 4 ? s & 0x3F : (low & 0xF) | s >> 6 << 4;
    uint minimum = sub < 4 ? m & 0x3F : low >> 4 | m >> 6 << 4;
    return {f16(block) * scale, 0, -(f16(block + 2) * minimum), {}};
}

struct Q4_K {
    enum : uint { values = 256, bytes = 144 };
    static Part part(device const uchar *block, uint part) {
        Part p = scale_and_minimum(block, part);
        for (uint i = 0; i < 4; ++i) p.q[i] = low_four_k(block + 16, part, i);
        return p;
    }
};

struct Q5_K {
    enum : uint { values = 256, bytes = 176 };
    static Part part(device const uchar *block, uint part) {
        Part p = scale_and_minimum(block, part);
        for (uint i = 0; i < 4; ++i) p.q[i] = low_four_k(block + 48, part, i) | top_bit(block + 16, part, i) << 4;
        return p;
    }
};

struct Q6_K {
    enum : uint { values = 256, bytes = 210 };
    static Part part(device const uchar *block, uint part) {
        float scale = as_type<char>(block[192 + part]);
        device const uchar *ql = block + part / 8 * 64 + part % 4 * 16;
        device const uchar *qh = block + 128 + part / 8 * 32 + part % 2 * 16;
        Part p = {f16(block + 208) * scale, 32, -0.0f, {}};
        for (uint i = 0; i < 4; ++i) {
            uint low = word(ql + 4 * i) >> part / 4 % 2 * 4 & 0x0F0F0F0F;
            uint high = word(qh + 4 * i) >> part % 8 / 2 * 2 & 0x03030303;
            p.q[i] = low | high << 4;
        }
        return p;
    }
};

// ---- what is done with them: w (N, bytes of a row) holds (N, K) values ----

template <typename Block>
auto part_of(device const uchar *row, uint part) {
    const uint parts = Block::values / 16;
    return Block::part(row + part / parts * Block::bytes, part % parts);
}

// One thread: part `part` of row `n` to y (N, K).
template <typename Block>
void dequantize(device const uchar *w, device float *y, uint row_bytes, uint n, uint part) {
    const uint K = row_bytes / Block::bytes * Block::values;
    auto p = part_of<Block>(w + size_t(n) * row_bytes, part);
    device float4 *out = (device float4 *)(y + size_t(n) * K + 16 * part);
    for (uint i = 0; i < 4; ++i) out[i] = p.four(i);
}

// One simdgroup, 32 threads: x (M, K) times rows `n` to n + ROWS - 1, into y (M, N). Each lane takes
// every 32nd part, and what a part is multiplied with is read once for all ROWS. Beyond the last row
// it is read again, and not written.
template <typename Block, uint M, uint ROWS>
void matvec(device const uchar *w, device const float *x, device float *y,
            uint N, uint row_bytes, uint n, uint lane) {
    const uint K = row_bytes / Block::bytes * Block::values;
    float sums[ROWS][M] = {};
    for (uint part = lane; part < K / 16; part += 32) {
        #pragma unroll  // `sums` must live in registers
        for (uint r = 0; r < ROWS; ++r) {
            auto p = part_of<Block>(w + size_t(min(n + r, N - 1)) * row_bytes, part);
            float4 weights[4] = {p.four(0), p.four(1), p.four(2), p.four(3)};
            #pragma unroll
            for (uint m = 0; m < M; ++m) {
                device const float4 *xs = (device const float4 *)(x + m * K + 16 * part);
                sums[r][m] += dot(weights[0], xs[0]) + dot(weights[1], xs[1])
                            + dot(weights[2], xs[2]) + dot(weights[3], xs[3]);
            }
        }
    }
    #pragma unroll
    for (uint r = 0; r < ROWS; ++r) {
        #pragma unroll
        for (uint m = 0; m < M; ++m) {
            float sum = simd_sum(sums[r][m]);
            if (lane == 0 && n + r < N) y[m * N + n + r] = sum;
        }
    }
}

}  // namespace gguf
