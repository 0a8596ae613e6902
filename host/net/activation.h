/* Internal: the dual of an activation layer, for the kernels. */
#ifndef NTK_HOST_NET_ACTIVATION_H
#define NTK_HOST_NET_ACTIVATION_H

#include "host/net/network.h"
#include "kernels/activation.h"

/* The dual of an activation layer, with its factor. The tables it refers to live as long as the program. */
ntk_status ntk_activation_make(const ntk_layer *layer, ntk_activation_dual *out);

#endif
