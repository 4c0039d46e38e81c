// What kernels.metal uses of the Metal Shading Language, in CUDA's words, for NVRTC alone: no header.
//
// CUDA's float4 is a record without operators. Metal's stands in the namespace of the kernels,
// where it is found first. A warp is a simdgroup. `min` of unsigned numbers is CUDA's own.
//
// The text has no word for what runs on the GPU, since in Metal everything does. NVRTC is told so by
// --device-as-default-execution-space.

using uchar = unsigned char;
using ushort = unsigned short;
using uint = unsigned int;

template <typename To, typename From>
To as_type(From from) {
    static_assert(sizeof(To) == sizeof(From));
    To to;
    memcpy(&to, &from, sizeof to);
    return to;
}

struct half {  // IEEE 754 binary16
    ushort bits;
    operator float() const {
        float value;
        asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
        return value;
    }
};

namespace gguf {

struct alignas(16) float4 {
    float x, y, z, w;
    float4() = default;
    float4(float x, float y, float z, float w) : x(x), y(y), z(z), w(w) {}
    explicit float4(uchar4 v) : float4(v.x, v.y, v.z, v.w) {}
    float4 operator+(float s) const { return {x + s, y + s, z + s, w + s}; }
    float4 operator-(float s) const { return {x - s, y - s, z - s, w - s}; }
};

inline float4 operator*(float s, float4 v) { return {s * v.x, s * v.y, s * v.z, s * v.w}; }

}  // namespace gguf

namespace metal {

inline float dot(gguf::float4 a, gguf::float4 b) { return a.x * b.x + a.y * b.y + a.z * b.z + a.w * b.w; }

// The same sum in all 32 lanes.
inline float simd_sum(float value) {
    for (uint apart = 16; apart; apart /= 2) value += __shfl_xor_sync(0xFFFFFFFF, value, apart);
    return value;
}

}  // namespace metal

// Rows, Metal's y, can be more than the 65,535 blocks that CUDA has along its y: blocks lie with x and
// y exchanged. Threads do not: counted along x first, 32 by 32 they are simdgroups as Metal's are.
inline uint3 position_in_grid() {
    return {blockIdx.y * blockDim.x + threadIdx.x, blockIdx.x * blockDim.y + threadIdx.y,
            blockIdx.z * blockDim.z + threadIdx.z};
}

inline uint index_in_simdgroup() {
    return (threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z)) % 32;
}

// Address spaces: a pointer finds its own. Last, because CUDA's own words have this one in them.
#define device
