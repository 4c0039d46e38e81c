// The parts of the module, each of which binds its own classes.
#pragma once

#include <nanobind/nanobind.h>

void bind_arrow(nanobind::module_& m);
void bind_containers(nanobind::module_& m);
void bind_decoder(nanobind::module_& m);
void bind_encoder(nanobind::module_& m);
void bind_llama(nanobind::module_& m);
void bind_text(nanobind::module_& m);
void bind_unigram(nanobind::module_& m);
