/* Internal to host/store: creating the files of a matrix. */
#ifndef NTK_HOST_STORE_CREATE_H
#define NTK_HOST_STORE_CREATE_H

#include "host/store/internal.h"

/* Prepares the three files under names of their own (<name>.new), complete and durable, with the journal locked. */
ntk_status ntk_store_stage(ntk_store_matrix *matrix, const ntk_store_shape *shape);

/* Gives them their names. */
ntk_status ntk_store_install(ntk_store_matrix *matrix);

/* Whether a file just locked still has its name; if not, another run was faster. */
ntk_status ntk_store_still_named(const ntk_store_place *place, const ntk_store_file *file, const char *name);

#endif
