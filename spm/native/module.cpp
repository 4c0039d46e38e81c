// spm.native._core: the compiled core as Python sees it.

#include "bind.hpp"

NB_MODULE(_core, m) {
  bind_encoder(m);
  bind_arrow(m);
  bind_text(m);
  bind_unigram(m);
  bind_decoder(m);
  bind_containers(m);
#ifdef SPM_LLAMA
  bind_llama(m);
#endif
}
