/** @file network.h
 *  Networks: one line of text (docs/network-text.md) names an infinitely wide network.
 */
#ifndef NTK_NETWORK_H
#define NTK_NETWORK_H

#include <ntk/status.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** The shape of one input. Images: channels x height x width, all >= 1. Vectors: channels = the dimension, height = width
 *  = 0. */
typedef struct ntk_shape {
  int64_t channels;
  int64_t height;
  int64_t width;
} ntk_shape;

/** A parsed network; immutable, so several threads may share one. */
typedef struct ntk_network ntk_network;

/** Parses a network text or the name of a preset.
 *  @param text NUL-terminated; at most 64 KiB; e.g. "20*(conv3 relu) gap" or "cntk-21-gap".
 *  @param out  receives the network; free it with ntk_network_free.
 *  @return NTK_OK; NTK_ERROR_NETWORK with a message that names layer, column and reason; NTK_ERROR_ARGUMENT (a NULL
 *          pointer); NTK_ERROR_MEMORY. */
NTK_API ntk_status ntk_network_parse(const char *text, ntk_network **out);

/** Frees a network; NULL is allowed. */
NTK_API void ntk_network_free(ntk_network *network);

/** The canonical text: parsing it gives the same network again, numbers exactly included. Owned by the network. */
NTK_API const char *ntk_network_text(const ntk_network *network);

/** The name of the preset that the network was made from, or NULL. Owned by the network. */
NTK_API const char *ntk_network_preset(const ntk_network *network);

/** Checks the network against an input shape: windows that fit, branches of equal shapes, a readout for images.
 *  @return NTK_OK; NTK_ERROR_NETWORK with layer, column and reason; NTK_ERROR_ARGUMENT (an impossible shape). */
NTK_API ntk_status ntk_network_check(const ntk_network *network, ntk_shape shape);

/** The factor from the generic normalisation (docs/conventions.md) to the published convention of the preset that the
 *  network was made from: kernel values of a preset are multiplied by it. 1 for a network that was written out.
 *  @param scale receives the factor. @return NTK_OK, NTK_ERROR_ARGUMENT. */
NTK_API ntk_status ntk_network_scale(const ntk_network *network, ntk_shape shape, double *scale);

/** In which published normalisation kernel values are given: the generic value times one factor (docs/conventions.md). */
typedef enum ntk_convention {
  NTK_CONVENTION_BY_NAME = 0, /**< A preset's own (ntk_network_scale); generic for a network that was written out. */
  NTK_CONVENTION_GENERIC = 1, /**< Factor 1, for presets too. */
  NTK_CONVENTION_ARORA = 2,   /**< arXiv:1904.11955: sums over channels and pixels. */
  NTK_CONVENTION_LI = 3,      /**< arXiv:1911.00809: LAP_c in the channels of arXiv:1904.11955. */
  NTK_CONVENTION_NEURAL_TANGENTS = 4 /**< The library neural-tangents with plain ReLU and W_std = sqrt(2) in every layer. */
} ntk_convention;

/** "preset", "generic", "arora", "li" or "neural-tangents"; NULL for no ntk_convention. Static storage. */
NTK_API const char *ntk_convention_name(ntk_convention convention);

/** The number of preset families; their patterns and meanings are numbered from 0. */
NTK_API size_t ntk_preset_count(void);

/** The pattern of preset family `index`, e.g. "cntk-<depth>-gap"; NULL when out of range. Static storage. */
NTK_API const char *ntk_preset_pattern(size_t index);

/** One sentence on preset family `index`, with its source; NULL when out of range. Static storage. */
NTK_API const char *ntk_preset_description(size_t index);

#ifdef __cplusplus
}
#endif
#endif
