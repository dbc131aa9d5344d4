/* Kubernetes resource quantities ("500m", "10Gi", "1e3", "128974848") as numbers.
 *
 * Thread: safe, no state. Source: k8s.io/apimachinery pkg/api/resource (grammar in quantity.go). */
#ifndef ROOST_DATA_QUANTITY_H
#define ROOST_DATA_QUANTITY_H

#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/str.h"

/* Thousandths of the unit, rounded up as Kubernetes does; -EINVAL, -ERANGE. */
int data_quantity_milli(struct str text, int64_t *ret, struct err *err);
/* Whole units, rounded up. */
int data_quantity(struct str text, int64_t *ret, struct err *err);

#endif
