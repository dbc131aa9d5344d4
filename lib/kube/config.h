/* Inside the room: what a kubeconfig or a pod's account says.
 *
 * Thread: read-only once loaded. */
#ifndef ROOST_KUBE_CONFIG_H
#define ROOST_KUBE_CONFIG_H

#include "lib/kube/client.h"

struct kube_config {
	char *server; /* without a slash at the end */
	char *ns;
	char *token, *token_file;
	char *ca_file, *cert_file, *key_file;
	char *ca_pem, *cert_pem, *key_pem;
	bool insecure;
};

#endif
