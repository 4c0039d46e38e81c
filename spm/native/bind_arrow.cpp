// Rows of ids in Arrow's C data interface, handed over in capsules as its PyCapsule interface asks:
// a large_list<int32> over the memory of two numpy arrays, of which nothing is copied.
// Source: the Arrow columnar format, "The Arrow C data interface".

#include <cstdint>
#include <memory>

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include "bind.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace {

struct ArrowSchema {
  const char *format, *name, *metadata;
  int64_t flags, n_children;
  ArrowSchema** children;
  ArrowSchema* dictionary;
  void (*release)(ArrowSchema*);
  void* private_data;
};

struct ArrowArray {
  int64_t length, null_count, offset, n_buffers, n_children;
  const void** buffers;
  ArrowArray** children;
  ArrowArray* dictionary;
  void (*release)(ArrowArray*);
  void* private_data;
};

using Ids = nb::ndarray<const int32_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Offsets = nb::ndarray<const int64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

// What one structure needs for as long as it lives. A child may be moved away and outlive its parent,
// so each has its own.
template <class Structure>
struct Owned {
  PyObject* memory = nullptr;
  const void* buffers[2] = {nullptr, nullptr};
  std::unique_ptr<Structure> child;
  Structure* children[1] = {nullptr};

  ~Owned() {
    if (child && child->release) child->release(child.get());
    if (!memory) return;
    nb::gil_scoped_acquire lock;
    Py_DECREF(memory);
  }
};

template <class Structure>
void release(Structure* structure) {
  delete static_cast<Owned<Structure>*>(structure->private_data);
  structure->release = nullptr;
}

template <class Structure>
Owned<Structure>* own(Structure& structure, std::unique_ptr<Structure> child) {
  auto* owned = new Owned<Structure>;
  owned->child = std::move(child);
  owned->children[0] = owned->child.get();
  structure.n_children = owned->child ? 1 : 0;
  structure.children = owned->child ? owned->children : nullptr;
  structure.release = release<Structure>;
  structure.private_data = owned;
  return owned;
}

std::unique_ptr<ArrowSchema> schema(const char* format, const char* name,
                                    std::unique_ptr<ArrowSchema> child) {
  auto made = std::make_unique<ArrowSchema>(
      ArrowSchema{format, name, nullptr, 0, 0, nullptr, nullptr, nullptr, nullptr});
  own(*made, std::move(child));
  return made;
}

std::unique_ptr<ArrowArray> array(int64_t length, const void* values, nb::handle memory,
                                  std::unique_ptr<ArrowArray> child) {
  auto made = std::make_unique<ArrowArray>(
      ArrowArray{length, 0, 0, 2, 0, nullptr, nullptr, nullptr, nullptr, nullptr});
  Owned<ArrowArray>* owned = own(*made, std::move(child));
  owned->memory = memory.inc_ref().ptr();
  owned->buffers[1] = values;  // the first tells what is null, and nothing is
  made->buffers = owned->buffers;
  return made;
}

// Whoever takes a structure out of its capsule marks it as released.
template <class Structure>
nb::object capsule(std::unique_ptr<Structure> structure, const char* name) {
  return nb::steal(PyCapsule_New(structure.release(), name, [](PyObject* self) {
    auto* held = static_cast<Structure*>(PyCapsule_GetPointer(self, PyCapsule_GetName(self)));
    if (held->release) held->release(held);
    delete held;
  }));
}

nb::object arrow_schema() { return capsule(schema("+L", "", schema("i", "item", nullptr)), "arrow_schema"); }

nb::object arrow_array(nb::object ids, nb::object offsets) {
  auto values = nb::cast<Ids>(ids);
  auto begins = nb::cast<Offsets>(offsets);
  auto items = array(int64_t(values.size()), values.data(), ids, nullptr);
  return capsule(array(int64_t(begins.size()) - 1, begins.data(), offsets, std::move(items)), "arrow_array");
}

}  // namespace

void bind_arrow(nb::module_& m) {
  m.def("arrow_schema", &arrow_schema);
  m.def("arrow_array", &arrow_array, "ids"_a, "offsets"_a);
}
