/* The ridge of the best leave-one-out accuracy, where the rows are few: Z Z^T is decomposed as a kernel matrix is. */
#include <math.h>
#include <stdlib.h>

#include "host/regress/regress.h"
#include "host/regress/ridge.h"

enum { CANDIDATES = 41, A_POWER = 4 }; /* by default: 1e-9 to 1e1 times the mean |z|^2, so many to a power of ten */

bool ntk_ridge_leaves_one_out(const ntk_ridge_problem *problem, const ntk_ridge_options *options) {
  return options->choose_ridge && options->held_out == 0 && options->form != NTK_RIDGE_PRIMAL &&
         problem->train.count <= NTK_RIDGE_MOST_LEFT_OUT;
}

/* The upper triangle of a symmetric matrix from its lower one. */
static void mirror(ntk_ridge_fit *fit) {
  const int64_t n = fit->order;
  for (int64_t i = 0; i < n; i++)
    for (int64_t j = 0; j < i; j++) fit->matrix[j * n + i] = fit->matrix[i * n + j];
}

ntk_status ntk_ridge_leave_one_out(ntk_ridge_fit *fit) {
  const ntk_ridge_options *given = fit->options;
  double candidates[CANDIDATES];
  for (int k = 0; k < CANDIDATES; k++)
    candidates[k] = ntk_ridge_mean_square(fit) * pow(10, (double)(k - (CANDIDATES - 1)) / A_POWER + 1);
  const ntk_regress_problem problem = {.train_count = fit->order,
                                       .classes = fit->problem->classes,
                                       .train_kernel = fit->matrix,
                                       .train_labels = fit->problem->train_labels};
  const ntk_regress_options options = {.targets = given->targets,
                                       .choose_ridge = true,
                                       .ridges = given->ridges ? given->ridges : candidates,
                                       .ridge_count = given->ridges ? given->ridge_count : CANDIDATES,
                                       .solver = NTK_SOLVER_CPU};
  ntk_regression r = {.problem = &problem, .options = &options, .context = fit->context, .device = -1};
  r.targets = fit->right, r.alpha = fit->solution;
  mirror(fit);
  const ntk_status status = ntk_regress_choose(&r);
  free(r.factor);
  free(r.eigenvalues);
  if (status != NTK_OK) return status;
  fit->ridge = r.ridge;
  fit->held_out_accuracy = r.loo_accuracy;
  fit->held_out_error = r.loo_error;
  return ntk_ridge_advance(fit, 0, ntk_ridge_leave_one_out_flops((double)fit->order));
}
