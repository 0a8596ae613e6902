#include "host/regress/regress.h"
#include "host/regress/ridge.h"

enum { LEAST_TO_HOLD_OUT = 10 };

static ntk_status check_rows(const char *name, const ntk_feature_rows *rows, int64_t least) {
  if (rows->count < least || rows->count > INT32_MAX)
    return ntk_fail(NTK_ERROR_ARGUMENT, "%s.count is %lld, but must be %lld to %d", name, (long long)rows->count,
                    (long long)least, INT32_MAX);
  if (rows->count == 0) return NTK_OK;
  if (rows->dim < 1 || rows->dim > INT32_MAX)
    return ntk_fail(NTK_ERROR_ARGUMENT, "%s.dim is %lld, but a row has 1 to %d features", name, (long long)rows->dim,
                    INT32_MAX);
  if (!rows->read) return ntk_fail(NTK_ERROR_ARGUMENT, "%s.read is NULL", name);
  return NTK_OK;
}

static ntk_status check_problem(const ntk_ridge_problem *p) {
  NTK_TRY(check_rows("train", &p->train, 1));
  NTK_TRY(check_rows("test", &p->test, 0));
  if (p->test.count > 0 && p->test.dim != p->train.dim)
    return ntk_fail(NTK_ERROR_DATA,
                    "the training rows have %lld features but the test rows %lld: both must come from the same map",
                    (long long)p->train.dim, (long long)p->test.dim);
  if (p->classes < 2)
    return ntk_fail(NTK_ERROR_ARGUMENT, "classes is %d, but a classification needs at least 2", (int)p->classes);
  if (!p->train_labels) return ntk_fail(NTK_ERROR_ARGUMENT, "train_labels must not be NULL");
  NTK_TRY(ntk_regress_check_labels("train_labels", p->train_labels, p->train.count, p->classes));
  if (!p->test_labels) return NTK_OK;
  return ntk_regress_check_labels("test_labels", p->test_labels, p->test.count, p->classes);
}

static ntk_status check_held_out(const ntk_ridge_problem *p, const ntk_ridge_options *o) {
  if (!o->choose_ridge) return NTK_OK;
  if (!(o->held_out >= 0 && o->held_out < 1))
    return ntk_fail(NTK_ERROR_ARGUMENT,
                    "held_out is %g, but must be a fraction of the training rows between 0 and 1, or 0 for the default",
                    o->held_out);
  if (p->train.count >= LEAST_TO_HOLD_OUT) return NTK_OK;
  return ntk_fail(NTK_ERROR_ARGUMENT,
                  "%lld training rows are too few to hold some out: give a ridge instead of choosing one, or at least "
                  "%d rows",
                  (long long)p->train.count, LEAST_TO_HOLD_OUT);
}

ntk_status ntk_ridge_check(const ntk_ridge_problem *problem, const ntk_ridge_options *o) {
  const ntk_regress_options fit = {.targets = o->targets,
                                   .ridge = o->ridge,
                                   .choose_ridge = o->choose_ridge,
                                   .ridges = o->ridges,
                                   .ridge_count = o->ridge_count};
  NTK_TRY(ntk_regress_check_fit(&fit));
  if (o->form != NTK_RIDGE_AUTO && o->form != NTK_RIDGE_PRIMAL && o->form != NTK_RIDGE_DUAL)
    return ntk_fail(NTK_ERROR_ARGUMENT, "form is %d, but must be NTK_RIDGE_AUTO, NTK_RIDGE_PRIMAL or NTK_RIDGE_DUAL",
                    (int)o->form);
  NTK_TRY(check_problem(problem));
  return check_held_out(problem, o);
}
