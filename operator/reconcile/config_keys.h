/* Keys of fe.conf, be.conf and cn.conf that StarRocks takes without a restart (ADMIN SET FRONTEND CONFIG, BE's
 * /api/update_config): an edit of only these restarts nobody. A key that is not known needs a restart. */
#ifndef ROOST_OPERATOR_RECONCILE_CONFIG_KEYS_H
#define ROOST_OPERATOR_RECONCILE_CONFIG_KEYS_H

#include <stdbool.h>

#include "operator/model/conf.h"

bool reconcile_key_is_dynamic(enum model_role role, const char *key);

#endif
