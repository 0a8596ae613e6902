/** @file ntk.h
 *  libntk: exact kernels of infinitely wide neural networks. Includes the whole public API.
 *
 *  The path of the data, one header a concept:
 *    network.h  text -> network          dataset.h  files -> inputs and labels
 *    plan.h     network + shape -> plan -> blocks of kernel values in memory
 *    gram.h     plan + data sets -> kernel matrix on disk
 *    regress.h  kernel matrices + labels -> predictions
 *    features.h network + shape -> random features, whose products approximate the kernel
 *    ridge.h    feature rows + labels -> predictions
 *  context.h holds threads, memory and callbacks, status.h the error codes, npy.h the array files.
 */
#ifndef NTK_NTK_H
#define NTK_NTK_H

#include <ntk/context.h>
#include <ntk/dataset.h>
#include <ntk/features.h>
#include <ntk/gram.h>
#include <ntk/network.h>
#include <ntk/npy.h>
#include <ntk/plan.h>
#include <ntk/regress.h>
#include <ntk/ridge.h>
#include <ntk/status.h>
#include <ntk/system.h>
#include <ntk/version.h>

#endif
